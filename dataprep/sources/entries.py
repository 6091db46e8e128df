"""The images of a set as plain records, and the interface of their readers."""

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

Content = bytes | NDArray[np.uint8]  # an image file, or the pixels of an array's row, [H,W] or [H,W,3]


class Entry(NamedTuple):
    """One image of a set.

    path: relative, '/'-separated, unique; it alone decides storage order and test split. label: class number, or -1.
    size: bytes in the source. offset: byte offset in an archive or row of an array; unused for loose files.
    reader: index into the readers of a ReaderSet. stamp: changes when the file or the archive that holds it is written
    to (its time, in ns); 0 where that is not known.
    """

    path: str
    label: int
    size: int
    offset: int
    reader: int = 0
    stamp: int = 0


class Reader(Protocol):
    """Reads the content of an entry, not decoded yet. Must be picklable: it is sent to workers."""

    def read(self, entry: Entry) -> Content: ...
