"""Runs under torchrun that are stopped, that crash, and that are started again: nothing is lost, and all is said."""

import json
import os
import signal
from pathlib import Path

import pytest
import torch

from pipeline.distributed import Ranks
from pipeline.training.interruption import Interruption
from tests.support.launch import ROOT, SMALL, children, gone, lines, result, status, torchrun, wait_for
from tests.support.ranks import on_ranks
from tests.support.recorder import Recorder

pytestmark = pytest.mark.xdist_group("ranks")
STEPS = 60


def test_a_signal_is_noticed_and_the_handlers_come_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with Interruption(torch.device("cpu")) as interruption:
        assert not interruption.requested and not interruption.agreed(torch.zeros(()))
        os.kill(os.getpid(), signal.SIGTERM)
        assert interruption.requested
        assert interruption.agreed(torch.tensor(0.25))  # one of four ranks
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.fixture(scope="module")
def whole(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run that nobody disturbed."""
    out = tmp_path_factory.mktemp("whole") / "run"
    on_ranks(2, undisturbed, (*SMALL, f"data={data}", f"out={out}", f"steps={STEPS}"))
    return out


def undisturbed(ranks: Ranks, sets: tuple[str, ...]) -> None:
    Recorder().train(ranks, sets)


@pytest.mark.slow
def test_every_signal_at_any_rank_and_the_end_is_the_same(data: Path, tmp_path: Path, whole: Path) -> None:
    """SIGUSR2 to rank 1, SIGINT to rank 0, SIGTERM to torchrun; after each the same command goes on."""
    out = tmp_path / "run"
    sets = [f"data={data}", f"out={out}", f"steps={STEPS}"]
    stops = []
    for number, target in ((signal.SIGUSR2, 2), (signal.SIGINT, 1), (signal.SIGTERM, 0)):
        done = len(lines(out))
        process = torchrun(2, sets)
        wait_for(lambda: len(lines(out)) >= done + 2 or process.poll() is not None)  # noqa: B023
        everyone = [process.pid, *children(process.pid)]
        os.kill(everyone[target], number)
        output, _ = process.communicate(timeout=120)
        assert status(out)["state"] == "preempted", output
        stops.append(status(out)["step"])
        assert len(lines(out)) == stops[-1]
        assert (out / f"checkpoints/step-{stops[-1]:08d}").exists()
        assert gone(everyone)
        if target:
            assert process.returncode == 0, output  # torchrun itself always fails when it gets the signal
        assert "Traceback" not in output or target == 0, output
    assert stops == sorted(set(stops)) and stops[-1] < STEPS
    output, _ = torchrun(2, sets).communicate(timeout=240)
    assert f"resumes from step {stops[-1]}" in output
    assert (lines(out), result(out)) == (lines(whole), result(whole))


@pytest.mark.slow
def test_a_rank_that_raises_is_heard_once_and_torchrun_tries_again(data: Path, tmp_path: Path) -> None:
    """The first time torchrun starts the ranks anew, which go on from the checkpoint; the second time it gives up."""
    out = tmp_path / "run"
    sets = [f"data={data}", f"out={out}", "steps=2000", "checkpoint_every=4"]
    process = torchrun(2, sets, "--standalone", "--max-restarts=1", script=ROOT / "tests/support/exploding_rank.py")
    wait_for(lambda: (out / "checkpoints/step-00000004").exists() or process.poll() is not None)
    first = children(process.pid)
    os.kill(first[1], signal.SIGUSR1)
    wait_for(lambda: gone(first), 20)
    assert status(out)["error"] == "ArithmeticError: rank 1 has had enough"
    begun = len(lines(out))
    wait_for(lambda: len(lines(out)) > begun or process.poll() is not None)
    second = children(process.pid)
    assert not set(first) & set(second)
    os.kill(second[1], signal.SIGUSR1)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    said = json.loads((out / "status.json").read_text())
    assert (said["state"], said["error"]) == ("failed", "ArithmeticError: rank 1 has had enough")
    assert 4 < said["step"] < 2000
    assert output.count("in explode") == 2 and output.count("ArithmeticError: rank 1 has had enough") == 2  # once each
    assert "resumes from step" in output and "Connection" not in output


@pytest.mark.slow
def test_a_killed_rank_ends_the_others_within_seconds(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    process = torchrun(2, [f"data={data}", f"out={out}", "steps=2000"])
    wait_for(lambda: len(lines(out)) >= 2 or process.poll() is not None)
    ranks = children(process.pid)
    os.kill(ranks[0], signal.SIGKILL)  # rank 0, which otherwise writes
    wait_for(lambda: gone(ranks), 20)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert status(out)["state"] == "failed" and "Connection" in status(out)["error"]
    assert output.count(f'{ROOT / "pipeline/train.py"}", line') == 2  # one traceback: main and train
