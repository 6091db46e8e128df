"""The reference network under DDP: it trains, all ranks hold the same, and start-up leaves no trace."""

from pathlib import Path
from typing import Any

import pytest
import torch

from pipeline import config, models
from pipeline.config.options import ModelConfig
from pipeline.data.dataset import open_dataset
from pipeline.distributed import Ranks
from pipeline.runs.folder import RunFolder
from pipeline.training import loop
from pipeline.training.checkpoint import Writer
from pipeline.training.training_run import Progress, TrainingRun, choose_threads
from tests.support.ranks import alone, on_ranks

REFERENCE = ("dataset=digits", "model.name=wrn-28-2", "steps=3", "batch.labelled=4", "batch.ratio=3", "threads=1")


def three_steps(ranks: Ranks, data: Path, out: Path) -> dict[str, torch.Tensor]:
    """Batch norm whose bn1 weights never get a gradient: DDP raises at step 2 if it waits for them."""
    settings = config.load(None, [*REFERENCE, f"data={data}", f"out={out}"])
    run = loop.train(settings, open_dataset(settings), ranks, RunFolder(settings))
    assert run.progress.step == 3
    return {**run.model.state_dict(), **{f"ema.{k}": v for k, v in run.ema.module.state_dict().items()}}


@pytest.mark.xdist_group("ranks")
def test_the_reference_network_on_two_ranks(data: Path, tmp_path: Path) -> None:
    zero, one = on_ranks(2, three_steps, data, tmp_path / "run")
    start = models.build(ModelConfig(), 10, 0).state_dict()
    for name, value in zero.items():
        assert torch.equal(value, one[name]), name
    assert not torch.equal(zero["head.weight"], start["head.weight"])
    assert torch.equal(zero["blocks.4.norm1.weight"], start["blocks.4.norm1.weight"])  # dead
    assert not torch.equal(zero["norm.running_mean"], start["norm.running_mean"])


def fresh(ranks: Ranks, data: Path) -> Any:
    settings = config.load(None, [*REFERENCE, f"data={data}"])
    run = TrainingRun(settings, open_dataset(settings), ranks, 1)
    return run.model.state_dict(), [p.grad for p in run.model.parameters()]


@pytest.mark.xdist_group("ranks")
def test_settling_the_buckets_leaves_no_trace(data: Path) -> None:
    start = models.build(ModelConfig(), 10, 0).state_dict()
    for state, gradients in on_ranks(2, fresh, data):
        assert all(torch.equal(state[name], value) for name, value in start.items())
        assert all(g is None for g in gradients)


def remembered(ranks: Ranks, data: Path, folder: Path) -> Progress:
    settings = config.load(
        None, [*REFERENCE, f"data={data}", "model.name=wrn-10-1", "mix=calibratemix", "warmup_steps=0"]
    )
    dataset, writer = open_dataset(settings), Writer(folder, ranks)
    run = TrainingRun(settings, dataset, ranks, 1)
    run.progress.step, run.progress.seconds, run.progress.best = 12, 3.5, {"step": 6, "error": 12.5, "ece": 4.25}
    run.progress.sums.fill_(2.0)
    run.save(writer)
    writer.close()
    successor = TrainingRun(settings, dataset, ranks, 1)
    assert successor.load(folder)
    return successor.progress


def test_a_restart_remembers_the_best_evaluation(data: Path, tmp_path: Path) -> None:
    """Also where the best comes before the interruption: a new run begins with an empty record of it."""
    progress = alone(remembered, data, tmp_path / "checkpoints")
    assert (progress.step, progress.seconds) == (12, 3.5)
    assert progress.best == {"step": 6, "error": 12.5, "ece": 4.25}
    assert set(progress.sums.tolist()) == {2.0}


def test_threads_are_shared_by_the_ranks_of_a_machine(monkeypatch: Any) -> None:
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "1000")
    assert choose_threads(config.load(None, ["dataset=x"])) == 1
    assert choose_threads(config.load(None, ["dataset=x", "threads=3"])) == 3
