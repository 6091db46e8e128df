"""Lists the members of a tar as entries that can be read in place."""

import bz2
import gzip
import lzma
import shutil
import tarfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from dataprep.sources import zstd
from dataprep.sources.entries import Entry
from dataprep.sources.tar_members import TarMembers

DAMAGED = (tarfile.TarError, EOFError, gzip.BadGzipFile, lzma.LZMAError, zlib.error)  # what a damaged archive raises


def list_tar(file: Path) -> Iterator[Entry]:
    """Yield every file of an uncompressed tar, label -1, links to others included; of equal names only the last.

    Raises ValueError when the tar is truncated or not a tar.
    """
    members = TarMembers(stamp=file.stat().st_mtime_ns)
    try:
        with tarfile.open(file, "r:") as tar:
            for member in tar:
                members.add(member)
                # tarfile would keep every header: gigabytes for a web-scale set
                tar.members = []  # type: ignore[attr-defined]
    except tarfile.TarError as error:
        raise ValueError(f"{file}: not a complete tar file ({error}); download it again") from error
    return iter(members.entries())


def list_nested_tar(file: Path) -> Iterator[Entry]:
    """Yield every file of an uncompressed tar; a member NAME.tar counts as a folder NAME/ of its own members.

    Offsets are those in `file` itself, so nothing is unpacked. Raises ValueError when a tar is truncated.
    """
    for outer in list_tar(file):
        if not outer.path.endswith(".tar"):
            yield outer
            continue
        folder = outer.path.removesuffix(".tar")
        try:
            yield from _members(file, outer, folder)
        except tarfile.TarError as error:
            raise ValueError(f"{file}: its member {outer.path} is damaged ({error}); download it again") from error


def _members(file: Path, outer: Entry, folder: str) -> list[Entry]:
    end, members = outer.offset + outer.size, TarMembers(prefix=f"{folder}/", stamp=outer.stamp)
    with file.open("rb") as handle:
        handle.seek(outer.offset)  # tarfile counts from where it starts, so its offsets are those in `file`
        with tarfile.open(fileobj=handle, mode="r:") as tar:
            for member in tar:
                if member.isreg() and not member.issparse() and member.offset_data + member.size > end:
                    raise tarfile.ReadError("truncated")
                members.add(member)
                tar.members = []  # type: ignore[attr-defined]
    return members.entries()


_BLOCK = 1 << 20  # decompressed bytes at a time


def _pieces(opener: Callable[..., Any], file: Path) -> Iterator[bytes]:
    with opener(file) as packed:
        yield from iter(lambda: packed.read(_BLOCK), b"")


_DECOMPRESSORS: dict[bytes, Callable[[Path], Iterator[bytes]]] = {
    b"\x1f\x8b": partial(_pieces, gzip.open),
    b"\xfd7zXZ": partial(_pieces, lzma.open),
    b"BZh": partial(_pieces, bz2.open),
    **dict.fromkeys(zstd.MAGIC, zstd.decompressed),
}


def uncompressed_tar(file: Path, work: Path) -> Path:
    """`file` itself when it is not compressed, otherwise an uncompressed copy in the folder `work`.

    Members of a compressed tar cannot be read in place; decompressing it once costs one pass and a single inode.
    Raises ValueError when the compressed data is truncated or damaged.
    """
    with file.open("rb") as handle:
        head = handle.read(6)
    decompress = next((pieces for magic, pieces in _DECOMPRESSORS.items() if head.startswith(magic)), None)
    if decompress is None:
        return file
    copy = work / "source.tar"
    try:
        with copy.open("wb") as out:
            out.writelines(decompress(file))
    except DAMAGED as error:
        raise ValueError(f"{file}: its compressed data is damaged ({error}); download it again") from error
    shutil.copystat(file, copy)  # its time tells whether the content is the same as before
    return copy
