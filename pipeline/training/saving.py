"""A run's checkpoints as its log asks for them, and the time that it has taken so far."""

import time
from typing import Protocol

from pipeline.distributed import Ranks
from pipeline.runs.checkpoints import last_saved_step
from pipeline.runs.folder import RunFolder
from pipeline.training.checkpoint import Writer
from pipeline.training.live_view import LiveView
from pipeline.training.progress import Progress


class SavedRun(Protocol):
    """A training of any kind."""

    ranks: Ranks
    progress: Progress

    def check(self) -> None:
        """RunError on all ranks where a step was not finite. Collective."""
        ...

    def save(self, writer: Writer) -> None:
        """The checkpoint of the current step. Collective."""
        ...


class Saving:
    """Every method but ``count_seconds`` and ``close`` is collective."""

    def __init__(self, run: SavedRun, folder: RunFolder, view: LiveView) -> None:
        self.run, self.folder, self.view = run, folder, view
        self.writer = Writer(folder.checkpoints, run.ranks)
        self.clock = time.monotonic()  # of the last update of progress.seconds

    def save(self) -> float:
        """A checkpoint; the seconds that it held the run up."""
        self.run.check()
        began = time.monotonic()
        self.count_seconds()
        self.run.save(self.writer)
        return time.monotonic() - began

    def stop(self) -> None:
        """The end of an interrupted run: its checkpoint, and status.json with the step that it will resume from."""
        self.save()
        self.writer.wait()
        if self.run.ranks.is_main:
            step = last_saved_step(self.folder.checkpoints)
            self.folder.status("preempted", step)
            self.folder.lock.release()
            self.view.say(f"{self.folder.path}: stopped at step {self.run.progress.step}, resumes from step {step}")

    def close(self) -> None:
        """Waits for the checkpoint under way."""
        self.writer.close()

    def count_seconds(self) -> None:
        """Brings progress.seconds up to now."""
        now = time.monotonic()
        self.run.progress.seconds += now - self.clock
        self.clock = now
