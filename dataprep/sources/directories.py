"""Lists the files of a directory tree as entries."""

import os
from collections.abc import Iterator
from pathlib import Path

from dataprep.sources.entries import Entry


def list_directory(root: Path) -> Iterator[Entry]:
    """Yield every file below `root`, label -1. Links to folders are followed, as torchvision's ImageFolder does."""
    for folder, _, names in os.walk(root, followlinks=True, onerror=_raise):
        prefix = Path(folder).relative_to(root).as_posix()
        for name in names:
            path = name if prefix == "." else f"{prefix}/{name}"
            yield Entry(path=path, label=-1, size=_size(f"{folder}/{name}"), offset=0)


def _raise(error: OSError) -> None:
    raise error  # an unreadable folder must not pass for an empty one


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size  # noqa: PTH116 (called a million times)
    except FileNotFoundError:  # a dangling link: it is rejected when it is read
        return 0
