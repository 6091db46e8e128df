"""Readers of image bytes: loose files, members of tars and zips read in place, rows of an array."""

import io
import os
import struct
import zipfile
import zlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dataprep.sources.entries import Entry, Reader


@dataclass(frozen=True)
class FileReader:
    """Loose files. An entry's path is appended to `root` as it is, so `root` ends in '/'."""

    root: str

    def open(self, entry: Entry) -> Image.Image:
        return Image.open(self.root + entry.path)


@dataclass(frozen=True)
class FlatReader:
    """Loose files that all lie directly in `root`; the folders in their entries' paths are ignored."""

    root: str

    def open(self, entry: Entry) -> Image.Image:
        return Image.open(self.root + entry.path.rpartition("/")[2])


@dataclass(frozen=True)
class TarReader:
    """Members of an uncompressed tar, read at their offset without unpacking."""

    file: str

    def open(self, entry: Entry) -> Image.Image:
        with Path(self.file).open("rb") as tar:
            tar.seek(entry.offset)
            return Image.open(io.BytesIO(tar.read(entry.size)))


_ZIP_HEADER = struct.Struct("<4s4xH16xHH")  # magic, compression, lengths of the name and of the extra field after it


@dataclass(frozen=True)
class ZipReader:
    """Members of a zip, stored or deflated; an entry's offset is that of its local header."""

    file: str

    def open(self, entry: Entry) -> Image.Image:
        return Image.open(io.BytesIO(self.read(entry)))

    def read(self, entry: Entry) -> bytes:
        """The member's content. Raises ValueError, or zlib.error, when it is damaged."""
        with Path(self.file).open("rb") as archive:
            archive.seek(entry.offset)
            magic, method, name, extra = _ZIP_HEADER.unpack(archive.read(_ZIP_HEADER.size))
            if magic != zipfile.stringFileHeader:  # type: ignore[attr-defined]
                raise ValueError("damaged in the zip")
            archive.seek(name + extra, os.SEEK_CUR)
            if method == zipfile.ZIP_STORED:
                return archive.read(entry.size)
            return _inflate(archive, entry.size)


def _inflate(packed: IO[bytes], size: int) -> bytes:
    """`size` bytes that lie deflated from the position of `packed` on; how many bytes they take there is not known."""
    stream, out = zlib.decompressobj(-zlib.MAX_WBITS), bytearray()
    while not stream.eof and len(out) <= size:
        block = stream.unconsumed_tail or packed.read(max(size, 1 << 10))
        if not block:
            break
        out += stream.decompress(block, size + 1 - len(out))
    if len(out) != size:
        raise ValueError("damaged in the zip")
    return bytes(out)


@dataclass(frozen=True)
class ArrayReader:
    """Rows of a .npy file, uint8 [N,H,W] or [N,H,W,3], memory-mapped."""

    file: str

    def open(self, entry: Entry) -> Image.Image:
        return Image.fromarray(_memory_map(self.file)[entry.offset])


@lru_cache(maxsize=8)
def _memory_map(file: str) -> NDArray[np.uint8]:
    # Opening the file once per row would take several times as long as encoding a small image.
    array: NDArray[np.uint8] = np.load(file, mmap_mode="r")
    return array


@dataclass(frozen=True)
class MissingReader:
    """Entries that a list names but no file holds: each is rejected, with this reason."""

    why: str

    def open(self, entry: Entry) -> Image.Image:
        raise FileNotFoundError(self.why)


@dataclass(frozen=True)
class ReaderSet:
    """Several readers behind one interface; an entry's `reader` selects one of them."""

    readers: tuple[Reader, ...]

    def open(self, entry: Entry) -> Image.Image:
        return self.readers[entry.reader].open(entry)
