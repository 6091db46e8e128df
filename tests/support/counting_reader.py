"""Counts decodes and can hold them up. Workers import this file, so it must not need FFCV."""

import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from dataprep.sources.entries import Content, Entry, Reader

GIVE_UP = 300  # seconds after which held workers go on, so that a broken test ends


@dataclass(frozen=True)
class CountingReader:
    """Reads as `inner` does and notes each path in `log`: decodes, counted over all worker processes.

    While the file `log`.hold exists, no more images are opened than the number in it.
    """

    inner: Reader
    log: str

    def read(self, entry: Entry) -> Content:
        start = time.monotonic()
        while self._held() and time.monotonic() - start < GIVE_UP:
            time.sleep(0.01)
        with Path(self.log).open("ab", buffering=0) as log:
            log.write(f"{entry.path}\n".encode())
        return self.inner.read(entry)

    def _held(self) -> bool:
        try:
            return decodes(Path(self.log)).total() >= int(hold_file(Path(self.log)).read_text())
        except FileNotFoundError:
            return False


def hold_file(log: Path) -> Path:
    return log.with_name(f"{log.name}.hold")


def decodes(log: Path) -> Counter[str]:
    """How often each path has been opened."""
    return Counter(log.read_text().split("\n")[:-1]) if log.exists() else Counter()
