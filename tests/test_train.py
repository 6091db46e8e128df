"""Whole runs on the real digits: the contract, resume, warm-up, ranks, and mistakes."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from pipeline import config, train
from pipeline.data.dataset import open_dataset
from pipeline.distributed import Ranks
from pipeline.runs.folder import RunFolder
from pipeline.training import loop
from tests.support.ranks import alone, on_ranks

ROOT = Path(__file__).parents[1]
SMALL = ("steps=12", "log_every=1", "eval_every=6", "checkpoint_every=4", "threads=1", "batch.labelled=8")
VARYING = {"images_per_second", "seconds"}


def arguments(data: Path, out: Path, *sets: str) -> list[str]:
    return ["--config", str(ROOT / "configs/digits.yaml"), "--set", f"data={data}", f"out={out}", *SMALL, *sets]


def run(ranks: Ranks, given: list[str]) -> None:
    settings = config.load(given[1], given[3:])
    loop.train(settings, open_dataset(settings), ranks, RunFolder(settings))


def lines(out: Path) -> list[dict[str, Any]]:
    parsed = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if k not in VARYING} for line in parsed]


def result(out: Path) -> dict[str, Any]:
    return {k: v for k, v in json.loads((out / "result.json").read_text()).items() if k not in VARYING}


def test_the_run_folder(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    given = arguments(data, out, "mix=calibratemix", "precision=fp32", "unlabelled.threshold=0.2")
    assert train.main(given) == 0
    names = {p.name for p in out.iterdir()}
    assert names == {
        "config.yaml", "environment.json", "metrics.jsonl", "tensorboard", "checkpoints", "predictions.npz",
        "result.json", "status.json",
    }  # fmt: skip
    trained = [line for line in lines(out) if "loss" in line]
    tested = [line for line in lines(out) if "error" in line]
    assert [line["step"] for line in trained] == list(range(1, 13))
    assert [line["step"] for line in tested] == [6, 12]
    assert set(trained[0]) == {
        "step",
        "loss",
        "loss_labelled",
        "loss_unlabelled",
        "loss_mix",
        "mask_rate",
        "impurity",
        "lr",
    }
    got = result(out)
    assert {"step", "error", "ece", "ece15", "ace", "oe", "ue", "nll", "brier", "num_samples", "best"} == set(got)
    assert (got["step"], got["num_samples"]) == (12, 500)
    assert got["error"] == tested[-1]["error"]
    with np.load(out / "predictions.npz") as saved:
        assert (saved["logits"].shape, saved["logits"].dtype) == ((500, 10), np.float32)
        assert saved["labels"].dtype == np.int64
        assert 100 * (saved["logits"].argmax(1) != saved["labels"]).mean() == pytest.approx(got["error"])
    assert json.loads((out / "status.json").read_text())["state"] == "finished"
    assert len(list((out / "tensorboard").glob("events*"))) == 1
    board = EventAccumulator(str(out / "tensorboard")).Reload()
    for tag, of in (
        ("train/mask_rate", trained),
        ("train/impurity", trained),
        ("test/error", tested),
        ("test/ece", tested),
    ):
        name = tag.split("/")[1]
        shown = [(event.step, event.value) for event in board.Scalars(tag)]
        assert shown == [(line["step"], pytest.approx(line[name])) for line in of if line[name] is not None], tag
    before = (out / "result.json").stat().st_mtime_ns
    assert train.main(given) == 0  # a finished run is not run again
    assert "finished already" in capsys.readouterr().out
    assert (out / "result.json").stat().st_mtime_ns == before


def test_before_the_warm_up_ends_it_is_fixmatch(data: Path, tmp_path: Path) -> None:
    alone(run, arguments(data, tmp_path / "base", "precision=fp32"))
    alone(run, arguments(data, tmp_path / "mixed", "mix=calibratemix", "warmup_steps=7", "precision=fp32"))
    base, mixed = ([x for x in lines(tmp_path / name) if "loss" in x] for name in ("base", "mixed"))
    assert mixed[:7] == base[:7]  # to the last bit
    assert all(x["loss_mix"] == 0 for x in mixed[:7])
    assert all(x["loss_mix"] > 0 for x in mixed[7:])
    assert mixed[7]["loss"] == pytest.approx(
        sum(mixed[7][f"loss_{t}"] for t in ("labelled", "unlabelled", "mix")), rel=1e-6
    )
    assert mixed[8]["loss_labelled"] != base[8]["loss_labelled"]


def numbers(line: dict[str, Any]) -> list[float]:
    """All numbers of a line, those in lists too; None, said of a class without images, is -1."""
    values = [v for value in line.values() for v in (value if isinstance(value, list) else [value])]
    return [-1.0 if v is None else v for v in values]


@pytest.mark.slow
@pytest.mark.xdist_group("ranks")
def test_two_ranks_are_one_run(data: Path, tmp_path: Path) -> None:
    """float64 and group norm: rounding flips no rank or threshold."""
    exact = ("mix=calibratemix", "precision=fp64", "model.norm=group", "warmup_steps=2", "unlabelled.threshold=0.2")
    alone(run, arguments(data, tmp_path / "one", *exact))
    on_ranks(2, run, arguments(data, tmp_path / "two", *exact))
    for one, two in zip(lines(tmp_path / "one"), lines(tmp_path / "two"), strict=True):
        assert numbers(one) == pytest.approx(numbers(two), rel=1e-9)


def start(given: list[str], ranks: int = 2) -> subprocess.Popen:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={ranks}"]
    script = [str(ROOT / "pipeline/train.py"), *given]
    return subprocess.Popen([*command, *script], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def children(pid: int) -> list[int]:
    found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True)
    return [int(child) for child in found.stdout.split()]


def gone(pids: list[int]) -> bool:
    states = subprocess.run(["ps", "-o", "stat=", "-p", ",".join(map(str, pids))], capture_output=True, text=True)
    return all(state.startswith("Z") for state in states.stdout.split())


def wait_for(condition: Any, seconds: float = 180) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.xdist_group("ranks")
def test_killed_and_started_again_it_ends_the_same(data: Path, tmp_path: Path) -> None:
    """kill -9 of torchrun on two ranks, batch norm of the reference network, bf16 where the processor has it."""
    # log_every=5: no checkpoint but that of step 20 is at a training line
    more = ("mix=calibratemix", "warmup_steps=5", "steps=24", "log_every=5")
    on_ranks(2, run, arguments(data, tmp_path / "whole", *more))
    out = tmp_path / "killed"
    given = arguments(data, out, *more)
    process = start(given)
    wait_for(lambda: (out / "checkpoints/step-00000008").exists() or process.poll() is not None)
    workers = children(process.pid)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (out / "result.json").exists()
    wait_for(lambda: gone(workers), 30)  # no rank outlives torchrun
    again = start(given)
    output, _ = again.communicate(timeout=300)
    assert again.returncode == 0, output
    assert "resumes from step" in output
    assert result(out) == result(tmp_path / "whole")
    assert lines(out) == lines(tmp_path / "whole")


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        (["stpes=3"], "stpes: unknown option; did you mean steps?"),
        (["algorithm=fixmach"], "did you mean fixmatch?"),
        (["dataset=cifar10"], "make_beton.py cifar10"),
        (["labels=900"], "class of only 126 labelled images"),
        (["model.name=wrn-3"], "unknown model 'wrn-3'"),
        (["mix=calibratemix", "warmup_steps=12"], "would never mix"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing(
    sets: list[str], message: str, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train.main(arguments(data, tmp_path / "run", *sets)) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_exit_code_of_plain_python_and_ranks_that_do_not_divide(data: Path, tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "pipeline/train.py"), *arguments(data, tmp_path / "run")]
    done = subprocess.run(command, env=os.environ | {"WORLD_SIZE": "3", "RANK": "0"}, capture_output=True, text=True)
    assert done.returncode == 2, done.stderr
    assert "3 ranks cannot share the 8 virtual shards" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_help_lists_every_option() -> None:
    text = train._parser().format_help()
    assert all(name in text for name in config.OPTIONS)
