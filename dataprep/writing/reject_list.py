"""rejected.csv: the images that could not be read, and why."""

import csv
from pathlib import Path

NAME = "rejected.csv"


def write_rejects(rows: list[tuple[str, str]], file: Path) -> None:
    """Columns path, reason; a header alone means that no image was rejected."""
    with file.open("w", newline="", encoding="utf-8", errors="surrogateescape") as out:
        csv.writer(out).writerows([("path", "reason"), *rows])
