"""Readers of image bytes: loose files, members of tars and zips read in place, rows of an array."""

import os
import stat
import struct
import tarfile
import zipfile
import zlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from dataprep.sources.entries import Content, Entry, Reader


@dataclass(frozen=True)
class FileReader:
    """Loose files. An entry's path is appended to `root` as it is, so `root` ends in '/'."""

    root: str

    def read(self, entry: Entry) -> bytes:
        return read_file(self.root + entry.path)


@dataclass(frozen=True)
class FlatReader:
    """Loose files that all lie directly in `root`; the folders in their entries' paths are ignored."""

    root: str

    def read(self, entry: Entry) -> bytes:
        return read_file(self.root + entry.path.rpartition("/")[2])


def read_file(path: str) -> bytes:
    """All of a regular file. Raises OSError for anything else: a pipe, for one, would be waited for without end."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a pipe is opened without waiting
    with os.fdopen(descriptor, "rb") as file:
        kind = stat.S_IFMT(os.fstat(descriptor).st_mode)
        if kind != stat.S_IFREG:
            raise OSError(f"{_KINDS.get(kind, 'something else')}, not a file")
        return file.read()


_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe (FIFO)",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


@dataclass(frozen=True)
class TarReader:
    """Members of an uncompressed tar, read at their offset without unpacking.

    An offset below zero is -1 - that of the member's header, for members that only tarfile can read.
    """

    file: str

    def read(self, entry: Entry) -> bytes:
        with Path(self.file).open("rb") as tar:
            if entry.offset < 0:
                tar.seek(-1 - entry.offset)
                return _read_member(tar)
            tar.seek(entry.offset)
            return tar.read(entry.size)


def _read_member(file: IO[bytes]) -> bytes:
    """The content of the member whose header is next: of a sparse one. Raises OSError for what has no content."""
    with tarfile.open(fileobj=file, mode="r:") as tar:
        member = tar.next()
        if member is not None and (member.issym() or member.islnk()):
            raise OSError(f"a link to {member.linkname}, which the tar does not hold")
        content = tar.extractfile(member) if member is not None else None
        if content is None:
            raise OSError("a pipe or device, not a file")
        return content.read()


_ZIP_HEADER = struct.Struct("<4s4xH16xHH")  # magic, compression, lengths of the name and of the extra field after it


@dataclass(frozen=True)
class ZipReader:
    """Members of a zip, stored or deflated; an entry's offset is that of its local header.

    An offset below zero is -1 - that of a link that leads nowhere.
    """

    file: str

    def read(self, entry: Entry) -> bytes:
        """The member's content. Raises ValueError, or zlib.error, when it is damaged, OSError for a link to nothing."""
        if entry.offset < 0:
            with zipfile.ZipFile(self.file) as archive:
                target = next(m for m in archive.infolist() if m.header_offset == -1 - entry.offset)
                link = archive.read(target).decode("utf-8", "replace")
            raise OSError(f"a link to {link}, which the zip does not hold")
        with Path(self.file).open("rb") as packed:
            packed.seek(entry.offset)
            magic, method, name, extra = _ZIP_HEADER.unpack(packed.read(_ZIP_HEADER.size))
            if magic != zipfile.stringFileHeader:  # type: ignore[attr-defined]
                raise ValueError("damaged in the zip")
            packed.seek(name + extra, os.SEEK_CUR)
            if method == zipfile.ZIP_STORED:
                return packed.read(entry.size)
            return _inflate(packed, entry.size)


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

    def read(self, entry: Entry) -> NDArray[np.uint8]:
        row: NDArray[np.uint8] = _memory_map(self.file)[entry.offset]
        return row


@lru_cache(maxsize=8)
def _memory_map(file: str) -> NDArray[np.uint8]:
    # Opening the file once per row would take several times as long as encoding a small image.
    array: NDArray[np.uint8] = np.load(file, mmap_mode="r")
    return array


@dataclass(frozen=True)
class MissingReader:
    """Entries that a list names but no file holds: each is rejected, with this reason."""

    why: str

    def read(self, entry: Entry) -> bytes:
        raise FileNotFoundError(self.why)


@dataclass(frozen=True)
class ReaderSet:
    """Several readers behind one interface; an entry's `reader` selects one of them."""

    readers: tuple[Reader, ...]

    def read(self, entry: Entry) -> Content:
        return self.readers[entry.reader].read(entry)
