"""Runs under torchrun that are stopped, that crash, and that are started again: nothing is lost, and all is said."""

import os
import signal
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from pipeline.distributed import Ranks
from pipeline.training.interruption import Interruption
from tests.support.launch import PATIENCE, ROOT, SMALL, children, gone, lines, result, small, status, torchrun, wait_for
from tests.support.ranks import on_ranks
from tests.support.recorder import Recorder

pytestmark = pytest.mark.xdist_group("launches")
STEPS = 40


def test_a_signal_is_noticed_and_the_handlers_come_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with Interruption(torch.device("cpu")) as interruption:
        assert not interruption.requested and not interruption.agreed(torch.zeros(()))
        os.kill(os.getpid(), signal.SIGTERM)
        assert interruption.requested
        assert interruption.agreed(torch.tensor(0.25))  # one of four ranks
    assert signal.getsignal(signal.SIGTERM) is before


def trained(ranks: Ranks, sets: tuple[str, ...], **stop: Any) -> None:
    Recorder(**stop).train(ranks, (*SMALL, *sets))


@pytest.mark.slow
def test_every_signal_at_any_rank_and_the_end_is_the_same(
    data: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """SIGINT to rank 0, SIGUSR2 to rank 1 under torchrun, SIGTERM to torchrun; after each the same command goes on."""
    out, whole = tmp_path / "run", tmp_path / "whole"
    sets = [f"data={data}", f"out={out}", f"steps={STEPS}"]
    on_ranks(2, partial(trained, stop_at=3, signalled=0, number=signal.SIGINT), sets)
    stops = [stopped(out)]
    for number, target in ((signal.SIGUSR2, 2), (signal.SIGTERM, 0)):
        process = torchrun(2, small(*sets))
        wait_for(lambda: len(lines(out)) >= stops[-1] + 2 or process.poll() is not None)  # noqa: B023
        everyone = [process.pid, *children(process.pid)]
        os.kill(everyone[target], number)
        output, _ = process.communicate(timeout=PATIENCE)
        stops.append(stopped(out, output))
        assert gone(everyone)
        if target:
            assert process.returncode == 0, output  # torchrun itself always fails when it gets the signal
        assert "Traceback" not in output or target == 0, output
    assert stops == sorted(set(stops)) and 3 == stops[0] < stops[-1] < STEPS
    capfd.readouterr()
    on_ranks(2, trained, sets)
    assert f"resumes from step {stops[-1]}" in capfd.readouterr().out
    on_ranks(2, trained, [*sets, f"out={whole}"])
    assert (lines(out), result(out)) == (lines(whole), result(whole))


def stopped(out: Path, output: str = "") -> int:
    """The step that a stopped run will go on from: said in status.json, the last of the log, saved."""
    assert status(out)["state"] == "preempted", output
    step: int = status(out)["step"]
    assert len(lines(out)) == step
    assert (out / f"checkpoints/step-{step:08d}").exists()
    return step


@pytest.mark.slow
@pytest.mark.long
def test_failing_ranks_are_heard_once_and_torchrun_tries_again(data: Path, tmp_path: Path) -> None:
    """One raises: torchrun starts all anew, which resume. One is killed: the others end by themselves, torchrun too."""
    out = tmp_path / "run"
    sets = [f"data={data}", f"out={out}", "steps=5000", "checkpoint_every=4"]
    process = torchrun(
        2, small(*sets), "--standalone", "--max-restarts=1", script=ROOT / "tests/support/exploding_rank.py"
    )
    wait_for(lambda: (out / "checkpoints/step-00000004").exists() or process.poll() is not None)
    first = children(process.pid)
    os.kill(first[1], signal.SIGUSR1)
    wait_for(lambda: gone(first))
    assert status(out)["error"] == "ArithmeticError: rank 1 has had enough"
    begun = len(lines(out))
    wait_for(lambda: len(lines(out)) > begun or process.poll() is not None)
    second = children(process.pid)
    assert not set(first) & set(second)
    os.kill(second[0], signal.SIGKILL)  # rank 0, which otherwise writes
    wait_for(lambda: gone(second))
    output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    said = status(out)
    assert said["state"] == "failed" and "Connection" in said["error"]
    assert 4 < said["step"] < 5000
    before, _, after = output.partition("resumes from step")
    assert before.count("in explode") == 1 and "Connection" not in before
    assert before.count("ArithmeticError: rank 1 has had enough") == 1
    assert after.count(f'{ROOT / "pipeline/training/loop.py"}", line') == 1  # one traceback
