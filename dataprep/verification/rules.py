"""Checks as pairs (holds, what is wrong otherwise)."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from dataprep.data_folder.checksums import file_sha256
from dataprep.data_folder.manifest import FileRecord, SplitRecord

Rules = Iterable[tuple[Any, str]]


def violated(rules: Rules) -> list[str]:
    """The messages of the rules that do not hold."""
    return [message for holds, message in rules if not holds]


def file_faults(file: Path, record: FileRecord | SplitRecord) -> list[str]:
    """Whether a file exists and has the sha256 and, where it is recorded, the length the manifest gives."""
    if not file.is_file():
        return ["missing"]
    size = file.stat().st_size
    expected = record.get("bytes", size)
    if size != expected:
        return [f"{size} bytes, not {expected}"]
    return [] if file_sha256(file) == record["sha256"] else ["sha256 differs from the manifest's"]
