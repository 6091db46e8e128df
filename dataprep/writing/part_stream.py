"""Reads the image data of several parts as one stream."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

_BLOCK = 8 << 20  # bytes read at a time


class ImageData(Protocol):
    """A file that begins with image data of `sizes` bytes, int64 [n], end to end."""

    @property
    def file(self) -> Path: ...

    @property
    def sizes(self) -> NDArray[np.int64]: ...


class PartStream:
    """The image data of `parts`, end to end."""

    def __init__(self, parts: Iterable[ImageData]) -> None:
        self._blocks = self._read(parts)
        self._rest = memoryview(b"")

    def read(self, count: int) -> Iterator[memoryview]:
        """Yield pieces of `count` bytes in total. Raises OSError when a part is shorter than it says."""
        while count:
            self._rest = self._rest or next(self._blocks)
            piece, self._rest = self._rest[:count], self._rest[count:]
            count -= len(piece)
            yield piece

    def _read(self, parts: Iterable[ImageData]) -> Iterator[memoryview]:
        for part in parts:
            left = int(part.sizes.sum())
            with part.file.open("rb") as handle:
                while left:
                    block = handle.read(min(left, _BLOCK))
                    if not block:
                        raise OSError(f"{part.file} was truncated while it was being read")
                    left -= len(block)
                    yield memoryview(block)
