"""Progress for people: a bar with images/s and time left on a terminal, a plain line now and then elsewhere."""

import sys
import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

PLAIN_EVERY = 5.0  # seconds


def note(text: str) -> None:
    """One line the user should know about; not an error."""
    safe = text.encode("utf-8", "backslashreplace").decode()  # file names need not be valid UTF-8
    print(f"note: {safe}", flush=True)


class Meter:
    """Counts images towards `total`, for use in a `with` block. before: how many an earlier run has done."""

    def __init__(self, what: str, total: int, before: int = 0) -> None:
        self.what, self.total, self.done, self._before = what, total, before, before
        self._start = self._last = time.monotonic()
        self._bar: Progress | None = None
        if sys.stdout.isatty():
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[rate]}"),
            )
            self._bar = Progress(*columns, TimeRemainingColumn(), console=Console())
            self._task = self._bar.add_task(what, total=total, completed=before, rate="")

    def __enter__(self) -> "Meter":
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
        """Images a second since the start."""
        return (self.done - self._before) / max(time.monotonic() - self._start, 1e-9)

    def add(self, count: int) -> None:
        """Report `count` more images done."""
        self.done += count
        now, rate = time.monotonic(), self.rate
        if self._bar:
            self._bar.update(self._task, completed=self.done, rate=f"{rate:,.0f} images/s")
        elif now - self._last >= PLAIN_EVERY:
            self._last = now
            left = f"{(self.total - self.done) / rate:.0f} s left" if rate else "no time known yet"
            print(f"{self.what}: {self.done}/{self.total}, {rate:,.0f} images/s, {left}", flush=True)
