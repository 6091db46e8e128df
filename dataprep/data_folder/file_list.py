"""files.csv.gz: which file of the source each stored image came from."""

import csv
import gzip
import io
from collections.abc import Iterable
from pathlib import Path

from dataprep.data_folder.checksums import describe
from dataprep.data_folder.manifest import FileRecord

NAME = "files.csv.gz"
COLUMNS = ["position", "part", "file", "class"]
Row = tuple[int, str, str, str]  # as COLUMNS: position in the beton `part`, path in the source, class or ''


def write_file_list(folder: Path, rows: Iterable[Row]) -> FileRecord:
    """Write the list, the same bytes for the same rows; returns the manifest's record of it."""
    file = folder / NAME
    with (
        file.open("wb") as raw,
        gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0, compresslevel=6) as packed,
        io.TextIOWrapper(packed, encoding="utf-8", errors="surrogateescape", newline="") as text,
    ):
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(rows)
    return describe(file)


def read_rows(folder: Path) -> list[Row]:
    """All rows of a folder's list. Raises OSError, EOFError or ValueError when it is missing or damaged."""
    with gzip.open(folder / NAME, "rt", encoding="utf-8", errors="surrogateescape", newline="") as file:
        lines = csv.reader(file)
        if next(lines, None) != COLUMNS:
            raise ValueError(f"its columns are not {', '.join(COLUMNS)}")
        return [(int(position), part, path, of) for position, part, path, of in lines]


def read_files(folder: Path, part: str) -> list[str]:
    """Paths in the source of the images of a beton, 'train' or 'test', in its order. Raises as `read_rows`."""
    return [path for _, of, path, _ in read_rows(folder) if of == part]
