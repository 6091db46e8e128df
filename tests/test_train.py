"""Whole runs on the real digits: the contract, resume, warm-up, ranks, and mistakes."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from pipeline import config, train
from tests.support.launch import ROOT, children, digits, gone, lines, result, torchrun, wait_for
from tests.support.ranks import alone, on_ranks
from tests.support.recorder import run


def test_the_run_folder(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    given = digits(data, out, "mix=calibratemix", "precision=fp32", "unlabelled.threshold=0.2")
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
    scores = {"error", "error_top5", "ece", "ece15", "ace", "oe", "ue", "oe_plain", "ue_plain", "nll", "brier"}
    scores.add("confidence")
    assert {"step", *scores, "num_samples", "best"} == set(got)
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


@pytest.mark.slow
def test_before_the_warm_up_ends_it_is_fixmatch(data: Path, tmp_path: Path) -> None:
    alone(run, digits(data, tmp_path / "base", "precision=fp32"))
    alone(run, digits(data, tmp_path / "mixed", "mix=calibratemix", "warmup_steps=7", "precision=fp32"))
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
    exact += ("steps=8", "eval_every=4", "batch.ratio=2")
    alone(run, digits(data, tmp_path / "one", *exact))
    on_ranks(2, run, digits(data, tmp_path / "two", *exact))
    for one, two in zip(lines(tmp_path / "one"), lines(tmp_path / "two"), strict=True):
        assert numbers(one) == pytest.approx(numbers(two), rel=1e-9)


@pytest.mark.slow
@pytest.mark.xdist_group("launches")
def test_killed_and_started_again_it_ends_the_same(
    data: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """kill -9 of torchrun on two ranks, batch norm of the reference network, bf16 where the processor has it."""
    # log_every=5: no checkpoint but that of step 20 is at a training line
    more = ("mix=calibratemix", "warmup_steps=5", "steps=24", "log_every=5")
    on_ranks(2, run, digits(data, tmp_path / "whole", *more))
    out = tmp_path / "killed"
    given = digits(data, out, *more)
    process = torchrun(2, given)
    wait_for(lambda: (out / "checkpoints/step-00000008").exists() or process.poll() is not None)
    workers = children(process.pid)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (out / "result.json").exists()
    wait_for(lambda: gone(workers))  # no rank outlives torchrun
    capfd.readouterr()
    on_ranks(2, run, given)
    assert "resumes from step" in capfd.readouterr().out
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
    assert train.main(digits(data, tmp_path / "run", *sets)) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_exit_code_of_plain_python_and_ranks_that_do_not_divide(data: Path, tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "pipeline/train.py"), *digits(data, tmp_path / "run")]
    done = subprocess.run(command, env=os.environ | {"WORLD_SIZE": "3", "RANK": "0"}, capture_output=True, text=True)
    assert done.returncode == 2, done.stderr
    assert "3 ranks cannot share the 8 virtual shards" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_help_lists_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        train.main(["--help"])
    text = capsys.readouterr().out
    assert all(name in text for name in config.OPTIONS)
