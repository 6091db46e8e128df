"""Reads a list of files and their labels: comma, semicolon or tab separated, with a header or without."""

import csv
from dataclasses import dataclass
from pathlib import Path

FILE_COLUMNS = ("file", "filename", "file_name", "path", "filepath", "image", "image_id", "image_path", "img", "id")
LABEL_COLUMNS = ("label", "labels", "class", "category", "target")
PART_COLUMNS = ("part", "split", "set", "subset")
SEPARATORS = (",", ";", "\t")


@dataclass(frozen=True)
class LabelRow:
    """A line of the list: its number, and its cells; part is '' where the list has no such column."""

    line: int
    file: str
    label: str
    part: str


def read_label_list(file: Path) -> list[LabelRow]:
    """Every line, the first one too, even if it may be a header: that depends on what files there are.

    Raises ValueError when a line has another number of columns, or the columns are not clear.
    """
    text = file.read_text(encoding="utf-8-sig", errors="surrogateescape")
    first_line = text.partition("\n")[0]
    lines = csv.reader(text.splitlines(keepends=True), delimiter=max(SEPARATORS, key=first_line.count))
    rows = [(lines.line_num, [cell.strip() for cell in cells]) for cells in lines if any(map(str.strip, cells))]
    if not rows:
        raise ValueError(f"--labels-from {file} is empty; a line of it is FILE,LABEL")
    width = len(rows[0][1])
    columns = _columns(file, rows[0][1])
    found = []
    for line, cells in rows:
        if len(cells) != width:
            columns_found = f"{len(cells)} column{'s' if len(cells) != 1 else ''}"
            raise ValueError(f"--labels-from {file}, line {line}: {columns_found}, not {width} as in the first line")
        name, label, part = (cells[column] if column is not None else "" for column in columns)
        found.append(LabelRow(line=line, file=name.replace("\\", "/").removeprefix("./"), label=label, part=part))
    return found


def _columns(file: Path, first: list[str]) -> tuple[int, int, int | None]:
    """Where file, label and part are: by the names in the first line, or else in this order."""
    names = [cell.lower() for cell in first]

    def find(known: tuple[str, ...]) -> int | None:
        return next((names.index(name) for name in known if name in names), None)

    name, label, part = find(FILE_COLUMNS), find(LABEL_COLUMNS), find(PART_COLUMNS)
    if name is not None and label is not None:
        return name, label, part
    if len(first) not in (2, 3):
        raise ValueError(
            f"--labels-from {file}: {len(first)} columns; name the columns in the first line (file, label and, if "
            "there is one, part), or keep these alone"
        )
    return 0, 1, 2 if len(first) == 3 else None
