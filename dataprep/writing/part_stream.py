"""Reads the image data of several parts as one stream."""

from collections.abc import Iterable, Iterator

from dataprep.writing.parts import Part

_BLOCK = 8 << 20  # bytes read at a time


class PartStream:
    """The image data of `parts`, end to end."""

    def __init__(self, parts: Iterable[Part]) -> None:
        self._blocks = self._read(parts)
        self._rest = memoryview(b"")

    def read(self, count: int) -> Iterator[memoryview]:
        """Yield pieces of `count` bytes in total. Raises OSError when a part is shorter than it says."""
        while count:
            self._rest = self._rest or next(self._blocks)
            piece, self._rest = self._rest[:count], self._rest[count:]
            count -= len(piece)
            yield piece

    def _read(self, parts: Iterable[Part]) -> Iterator[memoryview]:
        for part in parts:
            left = int(part.sizes.sum())
            with part.file.open("rb") as handle:
                while left:
                    block = handle.read(min(left, _BLOCK))
                    if not block:
                        raise OSError(f"{part.file} was truncated while it was being read")
                    left -= len(block)
                    yield memoryview(block)
