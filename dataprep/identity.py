"""Knows a source again without reading it, by the names, sizes and times of its files, where these are few."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from dataprep.storage import Options

FEW = 100  # the originals of every set have fewer files; a tree of loose images is listed again


def identity(source: Path | None) -> str | None:
    """A hash that changes with the files of `source` (None: a set from a library), or None for many files."""
    files = _files(source) if source is not None else []
    return None if files is None else hashlib.sha256(json.dumps(files).encode()).hexdigest()


def asked(options: Options) -> dict[str, Any]:
    """What else decides which images there are, as the manifest's `source` keeps it."""
    return {"dataset": options.dataset, "classes": options.classes, "extra": options.extra}


def _files(source: Path) -> list[tuple[str, int, int]] | None:
    if source.is_file():
        return [_described(source, source.name)]
    found: list[tuple[str, int, int]] = []
    for folder, folders, names in os.walk(source, followlinks=True):
        folders.sort()
        for name in sorted(names):
            file = Path(folder, name)
            if len(found) == FEW or not file.is_file():
                return None
            found.append(_described(file, file.relative_to(source).as_posix()))
    return found


def _described(file: Path, name: str) -> tuple[str, int, int]:
    status = file.stat()
    return name, status.st_size, status.st_mtime_ns
