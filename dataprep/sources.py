"""Where image bytes come from: loose files, members of a tar read in place, rows of an array."""

import bz2
import gzip
import io
import lzma
import os
import shutil
import tarfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO, Any, NamedTuple, Protocol, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image


class Entry(NamedTuple):
    """One image of a set.

    path: relative, '/'-separated, unique; it alone decides order and split. label: class number or -1.
    size: bytes in the source. offset: byte in a tar, row of an array, unused for loose files.
    source: which reader of a ReaderSet it belongs to.
    """

    path: str
    label: int
    size: int
    offset: int
    source: int = 0


class Reader(Protocol):
    """Opens an entry as a PIL image whose pixels are not decoded yet. Sent to workers, so picklable."""

    def open(self, entry: Entry) -> Image.Image: ...


@dataclass(frozen=True)
class FileReader:
    """Loose files; `root` ends where an entry's path begins."""

    root: str

    def open(self, entry: Entry) -> Image.Image:
        return Image.open(self.root + entry.path)


@dataclass(frozen=True)
class FlatReader:
    """Loose files that all lie directly in `root`, whatever folders their paths name."""

    root: str

    def open(self, entry: Entry) -> Image.Image:
        return Image.open(self.root + entry.path.rpartition("/")[2])


@dataclass(frozen=True)
class TarReader:
    """Members of an uncompressed tar, read at their offset: nothing is unpacked."""

    file: str

    def open(self, entry: Entry) -> Image.Image:
        with Path(self.file).open("rb") as tar:
            tar.seek(entry.offset)
            return Image.open(io.BytesIO(tar.read(entry.size)))


@dataclass(frozen=True)
class ArrayReader:
    """Rows of a .npy file, uint8 [N,H,W] or [N,H,W,3], mapped into memory, not loaded."""

    file: str

    def open(self, entry: Entry) -> Image.Image:
        return Image.fromarray(_mapped(self.file)[entry.offset])


@lru_cache(maxsize=8)
def _mapped(file: str) -> NDArray[np.uint8]:
    # Opening the file for each row would cost several times what encoding a small image does.
    array: NDArray[np.uint8] = np.load(file, mmap_mode="r")
    return array


@dataclass(frozen=True)
class MissingReader:
    """Entries that a list names and nothing holds: each becomes a reject with this reason."""

    why: str

    def open(self, entry: Entry) -> Image.Image:
        raise FileNotFoundError(self.why)


@dataclass(frozen=True)
class ReaderSet:
    """Several readers under one; an entry's `source` says which."""

    readers: tuple[Reader, ...]

    def open(self, entry: Entry) -> Image.Image:
        return self.readers[entry.source].open(entry)


def list_directory(root: Path) -> Iterator[Entry]:
    """Every file below `root`, label -1. Links to folders are followed, as torchvision's ImageFolder does."""
    for folder, _, names in os.walk(root, followlinks=True, onerror=_raise):
        prefix = Path(folder).relative_to(root).as_posix()
        for name in names:
            path = name if prefix == "." else f"{prefix}/{name}"
            yield Entry(path, -1, _size(f"{folder}/{name}"), 0)


def _raise(error: OSError) -> None:
    raise error  # a folder that can't be read must not pass for an empty one


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size  # noqa: PTH116 (called a million times)
    except FileNotFoundError:  # a dangling link: reading it will make it a reject
        return 0


def list_tar(file: Path) -> Iterator[Entry]:
    """Every regular file of a plain tar, label -1; of two members with one name the later counts.

    Raises ValueError when the tar is cut short or is none.
    """
    found: dict[str, Entry] = {}
    try:
        with tarfile.open(file, "r:") as tar:
            for member in tar:
                if member.isreg() and not member.issparse():
                    path = member.name.removeprefix("./")
                    found[path] = Entry(path, -1, member.size, member.offset_data)
                # tarfile would keep every header: gigabytes for a web-scale set
                tar.members = []  # type: ignore[attr-defined]
    except tarfile.TarError as error:
        raise ValueError(f"{file}: not a complete tar file ({error}); fetch it again") from error
    return iter(found.values())


def list_nested_tar(file: Path) -> Iterator[Entry]:
    """Every regular file of a plain tar, where members NAME.tar count as folders NAME/ of their own members.

    Offsets are those in `file` itself: nothing is unpacked. Raises ValueError when a tar is cut short.
    """
    for outer in list_tar(file):
        if not outer.path.endswith(".tar"):
            yield outer
            continue
        folder = outer.path.removesuffix(".tar")
        try:
            yield from _members(file, outer, folder)
        except tarfile.TarError as error:
            raise ValueError(f"{file}: its member {outer.path} is damaged ({error}); fetch it again") from error


def _members(file: Path, outer: Entry, folder: str) -> Iterator[Entry]:
    end = outer.offset + outer.size
    with file.open("rb") as handle:
        handle.seek(outer.offset)  # tarfile counts from where it starts, so its offsets are those in `file`
        with tarfile.open(fileobj=handle, mode="r:") as tar:
            for member in tar:
                if member.offset_data + member.size > end:
                    raise tarfile.ReadError("it reaches beyond its end")
                if member.isreg():
                    path = member.name.removeprefix("./")
                    yield Entry(f"{folder}/{path}", -1, member.size, member.offset_data)
                tar.members = []  # type: ignore[attr-defined]


_DECOMPRESSORS: dict[bytes, Callable[..., Any]] = {
    b"\x1f\x8b": gzip.open,
    b"\xfd7zXZ": lzma.open,
    b"BZh": bz2.open,
}


def plain_tar(file: Path, work: Path) -> Path:
    """`file` itself when it is not compressed, else an uncompressed copy inside the folder `work`.

    A compressed tar has no seekable members; unpacking into one file costs one pass and a single inode.
    Raises ValueError when the compressed data is cut short or damaged.
    """
    with file.open("rb") as handle:
        head = handle.read(6)
    opener = next((o for magic, o in _DECOMPRESSORS.items() if head.startswith(magic)), None)
    if opener is None:
        return file
    copy = work / "source.tar"
    try:
        with cast(IO[bytes], opener(file)) as packed, copy.open("wb") as out:
            shutil.copyfileobj(packed, out, 1 << 20)
    except (EOFError, lzma.LZMAError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{file}: compressed data is damaged ({error}); fetch it again") from error
    return copy
