"""Runs the trainer in this process and notes what passes between its acts."""

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

from pipeline import config
from pipeline.data.dataset import open_dataset
from pipeline.distributed import Ranks
from pipeline.methods.mixing import MixingPool
from pipeline.methods.step_types import Group, Pairs
from pipeline.runs.folder import RunFolder
from pipeline.training import loop
from pipeline.training.training_run import TrainingRun


def run(ranks: Ranks, given: list[str]) -> None:
    """The whole run of these arguments of train.py, in the order that ``launch`` gives them."""
    file = given[given.index("--config") + 1] if "--config" in given else None
    settings = config.load(file, given[given.index("--set") + 1 :])
    loop.train(settings, open_dataset(settings), ranks, RunFolder(settings))


@dataclass
class Recorder:
    """``run`` and ``steps`` of one run; in step ``stop_at`` the rank ``signalled`` gets ``number``."""

    stop_at: int | None = None
    signalled: int = -1  # the last
    number: signal.Signals = signal.SIGUSR2
    run: TrainingRun | None = None
    steps: list[dict[str, Any]] = field(default_factory=list)

    def train(self, ranks: Ranks, sets: tuple[str, ...]) -> None:
        """The whole run, as ``loop.train``; nothing of it is replaced, only listened to."""
        settings = config.load(None, list(sets))
        with (
            patch.object(MixingPool, "mixed_group", self._mixed_group()),
            patch.object(loop, "TrainingRun", self._training),
        ):
            loop.train(settings, open_dataset(settings), ranks, RunFolder(settings))

    def _training(self, *arguments: Any) -> TrainingRun:
        self.run = TrainingRun(*arguments)
        return self.run

    def _mixed_group(self) -> Callable[..., Group]:
        original = MixingPool.mixed_group

        def noted(pool: MixingPool, pairs: Pairs, *others: Any) -> Group:
            who = {name: part.index for name, part in pool.inputs.parts.items()}
            self.steps.append({**who, **{name: getattr(pairs, name).numpy() for name in ("first", "second", "lam")}})
            if pool.step + 1 == self.stop_at and pool.rank == self.signalled % pool.world:
                os.kill(os.getpid(), self.number)
            return original(pool, pairs, *others)

        return noted
