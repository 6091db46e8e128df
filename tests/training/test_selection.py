"""Which weights are selected, kept over an interruption, and what a run says of them."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from pipeline import train
from pipeline.config.sections import EvaluationConfig
from pipeline.distributed import Ranks
from pipeline.training.evaluation import Evaluation
from pipeline.training.selection import Selection
from tests.support.launch import digits
from tests.support.ranks import alone

SETS = (
    "algorithm=supervised", "labels=all", "validation=97", "epochs=3", "batch.labelled=100", "batch.ratio=1",
    "eval_every=null", "checkpoint_every=null", "log_every=null", "evaluation.select=best_validation",
    "model.name=wrn-10-1", "optimizer.lr=.2", "optimizer.clip=2", "optimizer.schedule=step", "optimizer.milestones=2",
    "optimizer.warmup_epochs=1",
)  # fmt: skip


def evaluation(step: int, error: float) -> Evaluation:
    return Evaluation(step, {}, {"error": 1.0, "validation_error": error})


def test_the_lowest_error_is_kept_and_the_first_of_equals(tmp_path: Path) -> None:
    alone(keep_the_lowest, tmp_path)


def keep_the_lowest(ranks: Ranks, tmp_path: Path) -> None:
    model, selection = nn.Linear(2, 2), Selection(tmp_path, "best_validation", ranks, 0)
    assert selection.restore(model) is None
    for step, error in ((1, 30.0), (2, 10.0), (3, 10.0), (4, 20.0)):
        nn.init.constant_(model.weight, step)
        selection.offer(evaluation(step, error), model)
    chosen, step = selection.restore(model) or (None, 0)
    assert step == 2 and chosen is not None and chosen.weight.unique().tolist() == [2.0]
    assert model.weight.unique().tolist() == [4.0]
    # goes on from the checkpoint of step 1: what was evaluated meanwhile stays
    again = Selection(tmp_path, "best_validation", ranks, 1)
    again.offer(evaluation(2, 11.0), model)
    assert (again.restore(model) or (model, 0))[1] == 2
    # starts anew
    assert Selection(tmp_path, "best_validation", ranks, 0).restore(model) is None


def test_a_full_disk_keeps_what_there_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert alone(keep_nothing, tmp_path / "gone") is None
    assert "selected.pt: not written" in capsys.readouterr().err


def keep_nothing(ranks: Ranks, folder: Path) -> object:
    selection, model = Selection(folder, "best_test", ranks, 0), nn.Linear(2, 2)
    selection.offer(evaluation(1, 1.0), model)
    return selection.restore(model)


@pytest.mark.parametrize(
    ("goal", "met"), [(None, False), ("error<=40", True), ("error<=39.9", False), ("ece<=5", True)]
)
def test_goals_are_of_validation_where_there_is(goal: str | None, met: bool) -> None:
    metrics = {"error": 50.0, "validation_error": 40.0, "ece": 5.0}
    assert Evaluation(1, {}, metrics).meets(EvaluationConfig(stop_at=goal).goal) == met


def result(out: Path) -> dict[str, Any]:
    varying = {"images_per_second", "seconds"}
    return {name: value for name, value in json.loads((out / "result.json").read_text()).items() if name not in varying}


@pytest.mark.slow
def test_a_run_by_epochs_selects_on_validation_and_resumes(data: Path, tmp_path: Path) -> None:
    """3 epochs of 12 steps; killed after the second evaluation and begun again from the first checkpoint."""
    out = tmp_path / "whole"
    assert train.main(digits(data, out, *SETS)) == 0
    found, lines = result(out), [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    evaluations = [line for line in lines if "error" in line]
    assert [line["step"] for line in evaluations] == [12, 24, 36] and found["step"] == 36
    best = min(evaluations, key=lambda line: line["validation_error"])
    selected = found["selected"]
    assert (selected["step"], selected["selected_on"]) == (best["step"], "validation")
    for name in ("error", "ece", "confidence", "error_top5", "validation_error", "validation_ece"):
        assert selected[name] == best[name], name
    with np.load(out / "predictions.npz") as saved:
        assert saved["validation_logits"].shape == saved["selected_validation_logits"].shape == (97, 10)
        assert np.array_equal(saved["selected_logits"], saved["logits"]) == (best["step"] == 36)
    torch.load(out / "selected.pt", weights_only=True)
    for later in ("result.json", "checkpoints/step-00000036", "predictions.npz"):
        path = out / later
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert train.main(digits(data, out, *SETS)) == 0
    assert result(out) == found


@pytest.mark.slow
def test_a_run_ends_where_the_goal_is_met(data: Path, tmp_path: Path) -> None:
    out, sets = tmp_path / "run", (*SETS, "evaluation.stop_at=error<=100")
    assert train.main(digits(data, out, *sets)) == 0
    found = result(out)
    assert found["step"] == 12 and json.loads((out / "status.json").read_text())["state"] == "finished"
    (out / "result.json").unlink()  # killed after the checkpoint: the next start must not train on
    assert train.main(digits(data, out, *sets)) == 0
    assert result(out) == found
