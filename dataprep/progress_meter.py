"""Progress for people: a bar with images/s and time left on a terminal, a plain line now and then elsewhere."""

import sys
import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

PLAIN_EVERY = 5.0  # seconds between two plain lines


class ProgressMeter:
    """Counts images up to `total`, for use in a `with` block. done_before: how many an earlier run has finished."""

    def __init__(self, title: str, total: int, done_before: int = 0) -> None:
        self.title, self.total, self.done, self._before = title, total, done_before, done_before
        self._start = self._last_line = time.monotonic()
        self._bar: Progress | None = None
        if sys.stdout.isatty():
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[rate]}"),
            )
            self._bar = Progress(*columns, TimeRemainingColumn(), console=Console())
            self._task = self._bar.add_task(title, total=total, completed=done_before, rate="")

    def __enter__(self) -> "ProgressMeter":
        if self._bar:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.stop()

    @property
    def rate(self) -> float:
        """Images per second since the start."""
        return (self.done - self._before) / max(time.monotonic() - self._start, 1e-9)

    def add(self, count: int) -> None:
        """Report `count` more images done."""
        self.done += count
        now, rate = time.monotonic(), self.rate
        if self._bar:
            self._bar.update(self._task, completed=self.done, rate=f"{rate:,.0f} images/s")
        elif now - self._last_line >= PLAIN_EVERY:
            self._last_line = now
            left = f"{(self.total - self.done) / rate:.0f} s left" if rate else "time left unknown"
            print(f"{self.title}: {self.done}/{self.total}, {rate:,.0f} images/s, {left}", flush=True)
