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
from dataprep.layouts.names import is_hidden, is_image, part_of_set
from dataprep.sources.entries import Entry
from dataprep.sources.parquet import Row, Table, is_parquet, open_table
from dataprep.sources.readers import TarReader

_MORE_PARTS = {"dev": "validation", "eval": "test", "evaluation": "test", "unsupervised": "unlabelled"}
_WORD = re.compile(r"[a-z]+")


@dataclass
class _Part:
    """Images of a part: entries without path and label yet, with the folders, names and labels that they would have."""

    entries: list[Entry] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    names: list[str | None] = field(default_factory=list)
    labels: list[int | str | None] = field(default_factory=list)

    def add(self, row: Row, folder: str, offset: int, stamp: int) -> None:
        self.entries.append(Entry(path="", label=-1, size=len(row.data), offset=offset, stamp=stamp))
        self.folders.append(folder)
        self.names.append(row.name)
        self.labels.append(row.label)

    def without_unlabelled(self, name: str, notes: list[str]) -> "_Part":
        """The images that can be measured on; a note counts the others."""
        kept = [row for row, label in enumerate(self.labels) if label is not None]
        left_out = len(self.labels) - len(kept)
        if left_out:
            notes.append(f"{name}: left out {plural(left_out, 'image')} without a label")
        return _Part(*([column[row] for row in kept] for column in vars(self).values()))


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

    Classes are numbered as the files number them; names alone, and numbers without names, in their order. Where no test
    image has a label, the validation images are the test set.
    Raises ValueError when a file is damaged, or its columns or its part are not clear.
    """
    source, notes = request.source_path(), list[str]()
    words = _words(files, source)
    tables = [open_table(file, request.labels.image_column, request.labels.label_column) for file in files]
    blob = request.work / "images"
    with blob.open("wb") as out:
        parts = _copy(tables, words, out)
    test, validation = (parts[name].without_unlabelled(name, notes) for name in ("test", "validation"))
    if not test.entries:
        test, validation = validation, _Part()
    classes, number = _classes(tables, parts["train"], source)
    if not request.extra and parts["extra"].entries:
        notes.append(f"{plural(len(parts.pop('extra').entries), 'extra image')} left out (--no-extra)")
    listing = Listing(
        classes=classes,
        train=[entry for name in ("train", "extra") for entry in _entries(name, parts[name], classes, number, source)],
        test=_entries("test", test, classes, number, source),
        validation=_entries("validation", validation, classes, number, source),
        reader=TarReader(str(blob)),
        has_test_split=bool(test.entries),
        notes=notes,
    )
    if not listing.test:
        _hold_out(listing, request)
    listing.train += _entries("unlabelled", parts["unlabelled"], classes, dict.fromkeys(number, -1), source)
    return listing


def _words(files: list[Path], source: Path) -> dict[Path, str]:
    """Of each file the first word in its name, or else in the nearest folder's, that is the name of a part.

    '' for all of them where no file has one.
    """
    found: dict[Path, str] = {}
    for file in files:
        inside = file.relative_to(source) if source.is_dir() else Path(file.name)
        words = [word for name in reversed(inside.parts) for word in _WORD.findall(name.lower())]
        found[file] = next((word for word in words if _part(word)), "")
    unclear = next((file for file, word in found.items() if not word), None)
    if unclear and any(found.values()):
        raise ValueError(
            f"{unclear}: it is not clear whether it holds training or test images; name it train-... or test-..."
        )
    return found


def _part(word: str) -> str | None:
    return part_of_set(word) or _MORE_PARTS.get(word)


def _copy(tables: Iterable[Table], words: dict[Path, str], out: IO[bytes]) -> dict[str, _Part]:
    parts: dict[str, _Part] = defaultdict(_Part)
    for table in tables:
        word = words[table.file]
        part, folder = parts[_part(word) or "train"], f"{word}/" if word else ""
        stamp = table.file.stat().st_mtime_ns
        for row in table.rows():
            part.add(row, folder, out.tell(), stamp)
            out.write(row.data)
    return parts


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
    unknown = next((label for label in part.labels if label is not None and label not in number), None)
    if unknown is not None and name != "unlabelled":
        raise ValueError(f"--source {source}: {name} has images of class {unknown!r}, of which train has none")
    labels = [-1 if label is None else number.get(label, -1) for label in part.labels]
    folders = [folder + _class_folder(name, label, classes) for folder, label in zip(part.folders, labels, strict=True)]
    paths = [f"{folder}{file}" for folder, file in zip(folders, part.names, strict=True)]
    if None in part.names or len(set(paths)) < len(paths):
        paths = [f"{folder}{row:08d}" for row, folder in enumerate(folders)]
    return [
        entry._replace(path=path, label=label) for entry, path, label in zip(part.entries, paths, labels, strict=True)
    ]


def _class_folder(part: str, label: int, classes: list[str]) -> str:
    if label >= 0:
        return f"{classes[label].replace('/', '_')}/"
    return "" if part == "unlabelled" else "(unlabelled)/"


def _hold_out(listing: Listing, request: ListingRequest) -> None:
    labelled = [entry for entry in listing.train if entry.label >= 0]
    unlabelled = [entry for entry in listing.train if entry.label < 0]
    source = request.source_path()
    listing.train, listing.test = hold_out_test(labelled, request.test_fraction, listing.notes, source)
    listing.train += unlabelled
