"""Lists the files of a directory tree as entries."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

from dataprep.console import note
from dataprep.sources.entries import Entry

_NOWHERE = (errno.ENOENT, errno.ELOOP, errno.ENOTDIR, errno.ENAMETOOLONG)
Folder = tuple[int, int]  # device and inode: the same for every link that leads to it


def list_directory(root: Path) -> Iterator[Entry]:
    """Yield every file below `root`, label -1. Links to folders are followed, as torchvision's ImageFolder does.

    A link to a folder that it lies in is left out, with a note: following it would never end.
    """
    yield from _below(str(root), "", frozenset([_folder(str(root))]))


def _below(folder: str, prefix: str, above: frozenset[Folder]) -> Iterator[Entry]:
    """Files of a folder; `prefix` comes before their names, `above` are the folder and those that it lies in."""
    with os.scandir(folder) as items:
        for item in items:
            if not _is_folder(item):
                size, stamp = size_and_stamp(item.path)
                yield Entry(path=f"{prefix}{item.name}", label=-1, size=size, offset=0, stamp=stamp)
            elif (inner := _folder(item.path)) in above:
                note(f"left out {prefix}{item.name}: it links to a folder that it lies in")
            else:
                yield from _below(item.path, f"{prefix}{item.name}/", above | {inner})


def _is_folder(item: os.DirEntry[str]) -> bool:
    try:
        return item.is_dir()
    except OSError:  # a link to itself
        return False


def _folder(path: str) -> Folder:
    status = os.stat(path)  # noqa: PTH116 (once for every folder)
    return status.st_dev, status.st_ino


def size_and_stamp(path: str) -> tuple[int, int]:
    """Bytes of a file, and when it was last written to, in ns; zeros where there is none.

    A link that leads nowhere is rejected when it is read.
    """
    try:
        status = os.stat(path)  # noqa: PTH116 (called a million times)
    except OSError as error:
        if error.errno in _NOWHERE:
            return 0, 0
        raise
    return status.st_size, status.st_mtime_ns
