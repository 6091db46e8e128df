"""The folder in which a data set is built, and how it becomes the final one in a single step."""

import fcntl
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType


class PartialFolder:
    """`OUT/.NAME.partial`, for use in a `with` block: `result` is filled there, and `commit` gives it its final name.

    rejects: a list to read, left there with the parts when too many images could not be read.
    work: temporary files of this run. parts: finished parts; they survive an error, so that the next run can resume
    from them. Without any parts the folder is removed at the end of the block.
    A lock protects it: what a killed run left is taken over, the folder of a running one is left alone.
    Raises ValueError when another process is working on the same data set.
    """

    def __init__(self, out: Path, name: str) -> None:
        self.final = out / name
        self.path = out / f".{name}.partial"
        self.work, self.parts, self.result = (self.path / part for part in ("work", "parts", "result"))
        self.rejects = self.path / "rejected.csv"
        self._lock = -1

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
            raise ValueError(f"{self.path}: another run is making this data set; wait for it or choose another --out")
        _remove(child for child in self.path.iterdir() if child != self.parts)
        for folder in (self.work, self.parts, self.result):
            folder.mkdir(exist_ok=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.parts.is_dir():
            _remove(self.parts.glob("*.tmp"))
        keep = not self.final.exists() and self.parts.is_dir() and any(self.parts.iterdir())
        _remove([self.work, self.result] if keep else [self.path])
        os.close(self._lock)

    @property
    def free_bytes(self) -> int:
        """Free space where the folder is."""
        return shutil.disk_usage(self.path).free

    def commit(self) -> None:
        """Rename the result to the final name. Raises OSError when something has taken that name meanwhile."""
        self.result.rename(self.final)


def _remove(paths: Iterable[Path]) -> None:
    for path in list(paths):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
