"""Runs of make_beton.py over a small tree that stop, deterministically, while parts are being encoded.

Imports no FFCV: a run that is killed while it encodes has not needed it yet.
"""

import os
import runpy
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from multiprocessing import forkserver
from pathlib import Path

from dataprep.layouts.catalog import DATASETS
from dataprep.layouts.folder import list_folder
from dataprep.layouts.listing import Listing, ListingRequest
from dataprep.writing import parts
from tests.support.counting_reader import CountingReader, decodes, hold_file

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 300  # seconds for anything that takes one at most on an idle machine
SIDE = 12
COUNT, LENGTH = 80, 8  # images, and images in a part: 9 parts of train.beton and one of test.beton
HELD_AT = 24  # decodes: two workers that stop there have finished two parts at least, since each has one unfinished


@dataclass(frozen=True)
class EncodingRun:
    """make_beton.py folder --source tree --out out --workers 2, whose decodes are noted in `log`."""

    tree: Path
    out: Path
    log: Path

    def words(self, *more: object) -> list[str]:
        sizes = ("--image-size", SIDE, "--stored-size", SIDE)  # else headers would be opened to look for them
        words = ["folder", "--source", self.tree, "--out", self.out, "--workers", 2, *sizes, *more]
        return [str(word) for word in words]

    def hold(self) -> None:
        """From now on workers stop once HELD_AT images have been decoded."""
        hold_file(self.log).write_text(str(HELD_AT))

    def release(self) -> None:
        hold_file(self.log).unlink(missing_ok=True)

    def forget_decodes(self) -> None:
        self.release()
        self.log.unlink()

    def decoded(self) -> list[str]:
        return list(decodes(self.log).elements())

    def finished(self) -> set[Path]:
        """Files of finished parts."""
        return {file for file in self.out.glob(".folder.partial/parts/*") if file.suffix != ".tmp"}

    def is_held(self) -> bool:
        """Whether workers have stopped with two or more parts finished."""
        return len(self.finished()) >= 2 and decodes(self.log).total() >= HELD_AT

    def start(self) -> subprocess.Popen[bytes]:
        """The command in a process of its own, held."""
        self.hold()
        code = f"from tests.support.encoding_runs import run_counted; run_counted({str(self.log)!r})"
        process = subprocess.Popen(
            [sys.executable, "-c", code, *self.words()],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        wait_until(lambda: process.poll() is not None or self.is_held())
        assert process.poll() is None
        return process


def run_counted(log: str) -> None:
    """The script itself, as from the command line."""
    count_decodes(Path(log))
    runpy.run_path(str(ROOT / "dataprep/make_beton.py"), run_name="__main__")


def count_decodes(log: Path) -> None:
    """From now on `folder` notes in `log` what it decodes, and makes parts of LENGTH images."""

    def list_counted(request: ListingRequest) -> Listing:
        listing = list_folder(request)
        return replace(listing, reader=CountingReader(listing.reader, str(log)))

    DATASETS["folder"] = replace(DATASETS["folder"], list=list_counted)
    parts.MIN_IMAGES = {"raw": LENGTH, "jpg": LENGTH}


def wait_until(state: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not state():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def when(state: Callable[[], object], act: Callable[[], object]) -> None:
    """Call `act` from a thread as soon as `state` holds."""

    def watch() -> None:
        wait_until(state)
        act()

    threading.Thread(target=watch, daemon=True).start()


def workers_of(pid: int) -> list[int]:
    """Worker processes of a run: children of its fork server, so grandchildren of `pid`."""
    return [worker for child in _children(pid) for worker in _children(child)]


def own_workers() -> list[int]:
    """Those of a run in this process, whose other children are other tests' (a SLURM, pools of their own)."""
    return _children(forkserver._forkserver._forkserver_pid)  # type: ignore[attr-defined]


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
