"""sha256 of files, as `sha256sum` computes it."""

import hashlib
from pathlib import Path

from dataprep.data_folder.manifest import FileRecord


def file_sha256(path: Path) -> str:
    """sha256 of a file, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def describe(path: Path) -> FileRecord:
    """Length and sha256 of a file."""
    return {"bytes": path.stat().st_size, "sha256": file_sha256(path)}
