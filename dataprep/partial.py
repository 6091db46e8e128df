"""The folder a data set grows in, and how it becomes the final one in a single step."""

import fcntl
import os
import shutil
from pathlib import Path
from types import TracebackType


class PartialFolder:
    """`OUT/.NAME.partial`, empty, ours alone; gone at the end of the `with` block unless committed.

    It is locked, not merely present: what a killed run left is taken over, a living one is respected.
    Raises ValueError when another process is at work on the same data set.
    """

    def __init__(self, out: Path, name: str) -> None:
        self.final = out / name
        self.path = out / f".{name}.partial"
        self._lock = -1
        self._committed = False

    def __enter__(self) -> "PartialFolder":
        self.path.mkdir(parents=True, exist_ok=True)
        self._lock = os.open(self.path, os.O_RDONLY)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            ours = os.fstat(self._lock).st_ino == self.path.stat().st_ino
        except (BlockingIOError, FileNotFoundError):
            ours = False
        if not ours:
            os.close(self._lock)
            raise ValueError(f"{self.path}: another run is making this data set; wait for it or use another --out")
        self._clear()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._committed:
            shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)

    def commit(self) -> None:
        """Rename to the final name. Raises OSError when something has taken that name meanwhile."""
        self.path.rename(self.final)
        self._committed = True

    def _clear(self) -> None:
        for child in self.path.iterdir():
            if child.is_dir():
                shutil.rmtree(child)
            else:
                child.unlink()


def check_space(folder: Path, needed: int) -> None:
    """Raise OSError unless `needed` bytes and a little more are free where `folder` lies."""
    free = shutil.disk_usage(folder).free
    if free < needed * 1.05:
        raise OSError(
            f"{folder.parent}: about {needed / 1e9:.1f} GB are needed, {free / 1e9:.1f} GB are free; "
            "make room or give another --out"
        )
