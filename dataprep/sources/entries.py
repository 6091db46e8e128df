"""The images of a set as plain records, and the interface of their readers."""

from typing import NamedTuple, Protocol

from PIL import Image


class Entry(NamedTuple):
    """One image of a set.

    path: relative, '/'-separated, unique; it alone decides storage order and test split. label: class number, or -1.
    size: bytes in the source. offset: byte offset in a tar or row of an array; unused for loose files.
    reader: index into the readers of a ReaderSet.
    """

    path: str
    label: int
    size: int
    offset: int
    reader: int = 0


class Reader(Protocol):
    """Opens an entry as a PIL image whose pixels are not decoded yet. Must be picklable: it is sent to workers."""

    def open(self, entry: Entry) -> Image.Image: ...
