"""The reference network under DDP: it trains, all ranks hold the same, and start-up leaves no trace."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import torch

from pipeline import config, models
from pipeline.config.sections import ModelConfig
from pipeline.data.dataset import open_dataset
from pipeline.distributed import Ranks
from pipeline.methods.step_types import Inputs
from pipeline.runs.folder import RunFolder
from pipeline.training import loop
from pipeline.training.checkpoint import Writer
from pipeline.training.progress import Progress
from pipeline.training.training_run import TrainingRun, choose_threads
from tests.support.ranks import alone, on_ranks

REFERENCE = ("dataset=digits", "model.name=wrn-28-2", "steps=4", "batch.labelled=4", "batch.ratio=3", "threads=1")
State = dict[str, torch.Tensor]


class Enough(Exception):
    """Leaves the loop before its last step: the evaluation would cost more than all steps."""


def three_steps(ranks: Ranks, data: Path, out: Path) -> tuple[State, list[Any], State]:
    """State and gradients of a run before its first step, and the state after three.

    Batch norm whose bn1 weights never get a gradient: DDP raises at step 2 if it waits for them.
    """
    settings = config.load(None, [*REFERENCE, f"data={data}", f"out={out}"])
    runs: list[TrainingRun] = []

    class Watched(TrainingRun):
        def inputs(self) -> Iterator[Inputs]:
            runs.append(self)
            start.update({name: value.clone() for name, value in self.model.state_dict().items()})
            gradients.extend(p.grad for p in self.model.parameters())
            for inputs in super().inputs():
                if inputs.step == 3:
                    raise Enough
                yield inputs

    start: State = {}
    gradients: list[Any] = []
    with patch.object(loop, "TrainingRun", Watched), pytest.raises(Enough):
        loop.train(settings, open_dataset(settings), ranks, RunFolder(settings))
    (run,) = runs
    assert run.progress.step == 3
    return (
        start,
        gradients,
        {**run.model.state_dict(), **{f"ema.{k}": v for k, v in run.ema.module.state_dict().items()}},
    )


@pytest.mark.xdist_group("ranks")
def test_the_reference_network_on_two_ranks(data: Path, tmp_path: Path) -> None:
    """Also: settling DDP's buckets, before the first step, leaves no trace."""
    ranks = on_ranks(2, three_steps, data, tmp_path / "run")
    fresh = models.build(ModelConfig(), 10, 0).state_dict()
    for start, gradients, _ in ranks:
        assert all(torch.equal(start[name], value) for name, value in fresh.items())
        assert all(g is None for g in gradients)
    zero, one = (end for _, _, end in ranks)
    for name, value in zero.items():
        assert torch.equal(value, one[name]), name
    assert not torch.equal(zero["head.weight"], fresh["head.weight"])
    assert torch.equal(zero["blocks.4.norm1.weight"], fresh["blocks.4.norm1.weight"])  # dead
    assert not torch.equal(zero["norm.running_mean"], fresh["norm.running_mean"])


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
    assert choose_threads(0) == 1
    assert choose_threads(3) == 3
