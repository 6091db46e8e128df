"""Counts decodes; a file of its own, since workers import it and should not wait for FFCV as well."""

from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from dataprep.sources import Entry, Reader


@dataclass(frozen=True)
class CountingReader:
    """Opens as `inner` does and notes each path in `log`: decodes, counted over all worker processes."""

    inner: Reader
    log: str

    def open(self, entry: Entry) -> Image.Image:
        with Path(self.log).open("ab", buffering=0) as log:
            log.write(f"{entry.path}\n".encode())
        return self.inner.open(entry)
