"""Parquet files with a column of images and one of labels, as the Hugging Face library exports them.

Paths are those that the images would have in class folders, PART/CLASS/NAME, so both give the same betons.
"""

import os
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from dataprep.console import plural
from dataprep.layouts.folder import hold_out_test
from dataprep.layouts.listing import Listing, ListingRequest
from dataprep.layouts.names import is_hidden, is_image
from dataprep.sources.entries import Entry
from dataprep.sources.parquet import Row, Table, is_parquet, open_table
from dataprep.sources.readers import TarReader

PARTS = {  # words in the names of files and folders, and the part they stand for
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "valid", "val", "dev"), "val"),
    **dict.fromkeys(("test", "testing", "eval", "evaluation"), "test"),
    **dict.fromkeys(("unlabelled", "unlabeled", "unsupervised", "extra"), "unlabelled"),
}
_WORD = re.compile(r"[a-z]+")


@dataclass
class _Part:
    """Images of a part: entries without path and label yet, with their names and labels as the files give them."""

    entries: list[Entry] = field(default_factory=list)
    names: list[str | None] = field(default_factory=list)
    labels: list[int | str | None] = field(default_factory=list)

    def add(self, row: Row, offset: int) -> None:
        self.entries.append(Entry(path="", label=-1, size=len(row.data), offset=offset))
        self.names.append(row.name)
        self.labels.append(row.label)


def find_parquet(source: Path) -> list[Path]:
    """The parquet files of a source that consists of them: a file, or a tree without images; otherwise []."""
    if source.is_file():
        return [source] if is_parquet(source) else []
    found: list[Path] = []
    for folder, _, names in os.walk(source, followlinks=True):
        inside = Path(folder).relative_to(source)
        visible = [name for name in names if not is_hidden((inside / name).as_posix())]
        if any(map(is_image, visible)):
            return []
        found += [Path(folder, name) for name in visible if name.endswith(".parquet")]
    return sorted(found)


def list_parquet(request: ListingRequest, files: list[Path]) -> Listing:
    """Images are copied out of the files, end to end, into one file in `request.work`: rows have no place of their own.

    Classes are numbered as the files number them; names alone, and numbers without names, in their order. Of the parts
    'test' and 'val' the first with labels holds the test images.
    Raises ValueError when a file is damaged, or its columns or its part are not clear.
    """
    source, notes = request.source_path(), list[str]()
    part_of = _parts(files, source)
    tables = [open_table(file, request.labels.image_column, request.labels.label_column) for file in files]
    blob = request.work / "images"
    with blob.open("wb") as out:
        parts = _copy(tables, part_of, out)
    test_name = _pick_test(parts, notes)
    classes, number = _classes(tables, parts["train"], source)
    train = _entries("train" if test_name else "", parts["train"], classes, number, source)
    train += _entries("unlabelled", parts["unlabelled"], classes, {}, source)
    if test_name:
        test = _entries(test_name, parts[test_name], classes, number, source)
        test = [entry for entry in test if entry.label >= 0]
    else:
        train, test = _hold_out(train, request, notes, source)
    return Listing(
        classes=classes,
        train=train,
        test=test,
        reader=TarReader(str(blob)),
        has_test_split=bool(test_name),
        notes=notes,
    )


def _parts(files: list[Path], source: Path) -> dict[Path, str]:
    """The part of each file: the first word in its name, or else in the nearest folder's, that stands for one."""
    found: dict[Path, str] = {}
    for file in files:
        inside = file.relative_to(source) if source.is_dir() else Path(file.name)
        words = [word for name in reversed(inside.parts) for word in _WORD.findall(name.lower())]
        part = next((PARTS[word] for word in words if word in PARTS), "")
        found[file] = part
    if not any(found.values()):
        return dict.fromkeys(files, "train")
    unclear = next((file for file, part in found.items() if not part), None)
    if unclear:
        raise ValueError(
            f"{unclear}: it is not clear whether it holds training or test images; name it train-... or test-..."
        )
    return found


def _copy(tables: Iterable[Table], part_of: dict[Path, str], out: IO[bytes]) -> dict[str, _Part]:
    parts: dict[str, _Part] = defaultdict(_Part)
    for table in tables:
        for row in table.rows():
            parts[part_of[table.file]].add(row, out.tell())
            out.write(row.data)
    return parts


def _pick_test(parts: dict[str, _Part], notes: list[str]) -> str:
    """The part that holds the test images, '' where there is none; notes what of the others is left out."""
    chosen = ""
    for name in ("test", "val"):
        total, labelled = len(parts[name].labels), sum(label is not None for label in parts[name].labels)
        if chosen and total:
            notes.append(f"{name}: left out {plural(total, 'image')}; {chosen} is the test set")
            continue
        if labelled < total:
            notes.append(f"{name}: left out {plural(total - labelled, 'image')} without a label")
        chosen = name if labelled else chosen
    return chosen


def _classes(tables: list[Table], train: _Part, source: Path) -> tuple[list[str], dict[int | str, int]]:
    """Names of the classes, and the class number of each label in the files."""
    known = {table.class_names for table in tables}
    if len(known) > 1 or len({(table.image, table.label) for table in tables}) > 1:
        raise ValueError(f"--source {source}: its parquet files have different columns or classes; name one set")
    present = {label for label in train.labels if label is not None}
    names = next(iter(known))
    if names is None:
        kinds = sorted(present, key=lambda label: (isinstance(label, str), label))
        classes, number = [str(label) for label in kinds], {label: c for c, label in enumerate(kinds)}
    else:
        classes = [name for value, name in enumerate(names) if value in present or name in present]
        number = {value: classes.index(name) for value, name in enumerate(names) if name in classes}
        number |= {name: c for c, name in enumerate(classes)}
    if len(classes) < 2:
        raise ValueError(
            f"--source {source}: {len(classes)} classes have training images, at least 2 are needed; names of files "
            "or folders say which part they hold: train, validation, test"
        )
    return classes, number


def _entries(name: str, part: _Part, classes: list[str], number: dict[int | str, int], source: Path) -> list[Entry]:
    """The entries of a part with paths and labels; images are called by their row where names are not unique."""
    labels = [-1 if label is None else number.get(label, -2) for label in part.labels]
    if -2 in labels and number:
        unknown = part.labels[labels.index(-2)]
        raise ValueError(f"--source {source}: {name} has images of class {unknown!r}, of which train has none")
    labels = labels if number else [-1] * len(labels)
    folder_of = {label: f"{name}/{of.replace('/', '_')}".removeprefix("/") for label, of in enumerate(classes)}
    folder_of[-1] = f"{name}/(unlabelled)".removeprefix("/") if number else name
    paths = [f"{folder_of[label]}/{file}" for label, file in zip(labels, part.names, strict=True)]
    if None in part.names or len(set(paths)) < len(paths):
        paths = [f"{folder_of[label]}/{row:08d}" for row, label in enumerate(labels)]
    return [
        entry._replace(path=path, label=label) for entry, path, label in zip(part.entries, paths, labels, strict=True)
    ]


def _hold_out(
    entries: list[Entry], request: ListingRequest, notes: list[str], source: Path
) -> tuple[list[Entry], list[Entry]]:
    labelled = [entry for entry in entries if entry.label >= 0]
    train, test = hold_out_test(labelled, request.test_fraction, notes, source)
    return train + [entry for entry in entries if entry.label < 0], test
