"""From which files of its source a data folder's images came: files.csv.gz, which make_beton.py writes."""

import csv
import gzip
from pathlib import Path


def source_files(folder: Path, part: str) -> list[str]:
    """Paths in the source of the images of ``part`` (train or test), in the beton's order.

    Empty for a folder that was made before there were such lists, and where the list is damaged: no result hangs on it.
    """
    try:
        with gzip.open(folder / "files.csv.gz", "rt", encoding="utf-8", errors="surrogateescape", newline="") as file:
            return [row["file"] for row in csv.DictReader(file) if row["part"] == part]
    except (OSError, EOFError, KeyError, csv.Error):
        return []
