"""Runs the trainer in this process and notes what passes between its acts."""

import os
import signal
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

from pipeline import config, train
from pipeline.data.dataset import open_dataset
from pipeline.distributed import Ranks
from pipeline.runs.folder import RunFolder
from pipeline.training import training_run
from pipeline.training.training_run import Training


@dataclass
class Recorder:
    """``run`` and ``steps`` of one run; in step ``stop_at`` the rank ``signalled`` gets ``number``."""

    stop_at: int | None = None
    signalled: int = -1  # the last
    number: signal.Signals = signal.SIGUSR2
    run: Training | None = None
    steps: list[dict[str, Any]] = field(default_factory=list)

    def train(self, ranks: Ranks, sets: tuple[str, ...]) -> None:
        """The whole run, as ``train.train``; nothing of it is replaced, only listened to."""
        settings = config.load(None, list(sets))
        with (
            patch.object(training_run, "mix_images", self._mix_images),
            patch.object(train, "Training", self._training),
        ):
            train.train(settings, open_dataset(settings), ranks, RunFolder(settings))

    def _training(self, *arguments: Any) -> Training:
        self.run = Training(*arguments)
        return self.run

    def _mix_images(self, pairs: Any, pool: Any, *others: Any, original: Any = training_run.mix_images) -> Any:
        host = pool.inputs.host
        seen = {"labelled": host.labelled_index, "unlabelled": host.unlabelled_index}
        self.steps.append({**seen, **{name: getattr(pairs, name).numpy() for name in ("first", "second", "lam")}})
        if pool.inputs.step + 1 == self.stop_at and pool.rank == self.signalled % pool.world:
            os.kill(os.getpid(), self.number)
        return original(pairs, pool, *others)
