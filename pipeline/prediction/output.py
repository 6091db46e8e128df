"""predictions.csv and what lies beside it: written in order as the job goes on, and resumed where it was killed.

While a job is under way its rows are in hidden files, and a state says how much of these is whole. They get their
names when everything is done, so that no half list is taken for a whole one.
"""

import csv
import fcntl
import io
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from pipeline.runs.files import read_json, write_atomically

REJECTED_COLUMNS = ("path", "reason")  # as make_beton.py's rejected.csv


@dataclass
class Done:
    """How far a job is: images dealt with, rows written, files rejected, bytes of both lists, rows to be accepted."""

    images: int = 0
    predicted: int = 0
    rejected: int = 0
    accepted: int = 0
    bytes: int = 0
    rejected_bytes: int = 0


class Output:
    """The lists of one job, for use in a `with` block. `job`: what must be the same for a job to be resumed.

    ValueError where a job with another `job` is unfinished there, or another process writes it.
    """

    def __init__(self, out: Path, job: Mapping[str, Any], header: Sequence[str]) -> None:
        self.out, self.job, self.header = out, dict(job), list(header)
        self.rejected = out.with_name(f"{out.stem}.rejected.csv")
        self._state = out.with_name(f".{out.name}.state.json")
        self._partial = {path: path.with_name(f".{path.name}.partial") for path in (out, self.rejected)}

    def __enter__(self) -> "Output":
        state = read_json(self._state)
        under_way = bool(state) and all(path.exists() for path in self._partial.values())
        if under_way and (other := [name for name in self.job if state["job"].get(name) != self.job[name]]):
            raise ValueError(
                f"{self.out}: a job with other {', '.join(other)} is unfinished there; finish it with its own command, "
                f"remove {self._state}, or choose another --out"
            )
        self._files = {path: _locked(partial) for path, partial in self._partial.items()}
        self.done = Done(**state["done"]) if under_way else Done()
        for path, size in ((self.out, self.done.bytes), (self.rejected, self.done.rejected_bytes)):
            self._files[path].truncate(size)
            self._files[path].seek(size)
        if not under_way:
            self._append([self.header], [REJECTED_COLUMNS])
            self._note_state()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for file in self._files.values():
            file.close()

    def add(
        self, rows: Sequence[Sequence[str]], rejected: Sequence[tuple[str, str]], images: int, accepted: int
    ) -> None:
        """The rows of a batch, after which `images` are done, `accepted` of them to be accepted. OSError: disk full."""
        self._append(rows, rejected)
        done = self.done
        done.images, done.predicted, done.rejected = images, done.predicted + len(rows), done.rejected + len(rejected)
        done.accepted += accepted
        self._note_state()

    def finish(self, facts: Mapping[str, Any]) -> None:
        """Gives the lists their names; `facts` go into a .json of the same name."""
        write_atomically(self.out.with_suffix(".json"), json.dumps({**facts, **self._counts()}, indent=1))
        self._partial[self.rejected].replace(self.rejected)
        self._partial[self.out].replace(self.out)
        self._state.unlink()

    def _counts(self) -> dict[str, int]:
        return {name: value for name, value in asdict(self.done).items() if "bytes" not in name}

    def _append(self, rows: Iterable[Sequence[str]], rejected: Iterable[Sequence[str]]) -> None:
        self.done.bytes += _write(self._files[self.out], rows)
        self.done.rejected_bytes += _write(self._files[self.rejected], rejected)

    def _note_state(self) -> None:
        """After the rows that it counts are on disk."""
        for file in self._files.values():
            os.fsync(file.fileno())
        write_atomically(self._state, json.dumps({"job": self.job, "done": asdict(self.done)}))


def _write(file: IO[bytes], rows: Iterable[Sequence[str]]) -> int:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    return file.write(text.getvalue().encode("utf-8", "surrogateescape"))


def _locked(path: Path) -> IO[bytes]:
    """Opened to be written by this process alone."""
    file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o666), "r+b", buffering=0)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        raise ValueError(f"{path}: another process is writing it; wait for it, or choose another --out") from error
    return file
