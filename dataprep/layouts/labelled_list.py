"""The user's own images, labelled by a list: --labels-from."""

from collections import defaultdict
from pathlib import Path, PurePosixPath

from dataprep.console import plural
from dataprep.layouts.folder import hold_out_test, open_source
from dataprep.layouts.listing import Listing, ListingRequest
from dataprep.layouts.names import is_hidden, is_image, part_of_set, top_folder
from dataprep.sources.entries import Entry
from dataprep.sources.label_list import LabelRow, read_label_list

_SHOWN = 3  # names in an error


def list_labelled(request: ListingRequest) -> Listing:
    """Images that the list names, by their path in the source, or a unique name, with or without a suffix.

    Classes are the sorted labels, numbers in their order. An image without a label is unlabelled; its part is the one
    that the list gives, or its top folder's, otherwise train. Images that are not listed are left out.
    Raises ValueError that names the line, or the files that are not there.
    """
    source, file = request.source_path(), request.labels.labels_from
    assert file is not None
    files, reader = open_source(source, request.work)
    images = [entry for entry in files if is_image(entry.path) and not is_hidden(entry.path)]
    rows, notes = read_label_list(file), list[str]()
    index = _Index(images, file)
    if index.find(rows[0]) is None and not is_image(rows[0].file):
        notes.append(f"{file.name}: read line {rows[0].line} as its header ({rows[0].file}, {rows[0].label})")
        rows = rows[1:]
    found = _match(rows, index, source, file)
    notes += _left_out(len(images) - len(found), file)
    parts = _parts(rows, found, file)
    classes = _classes(parts["train"], file)
    labelled = {part: _label(part, pairs, classes, file) for part, pairs in parts.items()}
    test, validation = labelled.get("test", []), labelled.get("validation", [])
    if not test:
        test, validation = validation, []
    listing = Listing(
        classes=classes,
        train=labelled["train"],
        test=test,
        validation=validation,
        reader=reader,
        has_test_split=bool(test),
        notes=notes,
    )
    if not test:
        unlabelled = [entry for entry in listing.train if entry.label < 0]
        train = [entry for entry in listing.train if entry.label >= 0]
        listing.train, listing.test = hold_out_test(train, request.test_fraction, notes, source)
        listing.train += unlabelled
    return listing


class _Index:
    """Looks up an image by what a list may call it. Whole paths come before parts of them."""

    def __init__(self, images: list[Entry], file: Path) -> None:
        self._file = file
        self._by_name: tuple[dict[str, list[Entry]], ...] = tuple(defaultdict(list) for _ in range(4))
        for image in images:
            path = PurePosixPath(image.path)
            for names, name in zip(self._by_name, _names(path), strict=True):
                names[name].append(image)

    def find(self, row: LabelRow) -> Entry | None:
        """None where there is no such image. Raises ValueError where there are several."""
        for names in self._by_name:
            candidates = names.get(row.file, [])
            if len(candidates) > 1:
                both = " or ".join(sorted(entry.path for entry in candidates)[:2])
                raise ValueError(
                    f"--labels-from {self._file}, line {row.line}: {row.file!r} could be {both}; give the path"
                )
            if candidates:
                return candidates[0]
        return None


def _names(path: PurePosixPath) -> tuple[str, ...]:
    return path.as_posix(), path.with_suffix("").as_posix(), path.name, path.stem


def _match(rows: list[LabelRow], index: _Index, source: Path, file: Path) -> list[Entry]:
    """The image of each row."""
    found, missing = [], []
    lines: dict[str, int] = {}
    for row in rows:
        entry = index.find(row)
        if entry is None:
            missing.append(row.file)
            continue
        if entry.path in lines:
            raise ValueError(
                f"--labels-from {file}, line {row.line}: {row.file!r} was listed before, in line {lines[entry.path]}"
            )
        lines[entry.path] = row.line
        found.append(entry)
    if missing:
        are = "file that it lists is" if len(missing) == 1 else "files that it lists are"
        raise ValueError(
            f"--labels-from {file}: {len(missing)} {are} not in {source}, for example {', '.join(missing[:_SHOWN])}; "
            "paths count from --source"
        )
    return found


def _left_out(number: int, file: Path) -> list[str]:
    if not number:
        return []
    return [
        f"ignored {plural(number, 'image')} that {file.name} does not list; listed without a label they would be "
        "trained on as unlabelled images"
    ]


def _parts(rows: list[LabelRow], found: list[Entry], file: Path) -> dict[str, list[tuple[Entry, str]]]:
    """Images of each part with their labels; unlabelled and extra images belong to train."""
    parts: dict[str, list[tuple[Entry, str]]] = defaultdict(list)
    for row, entry in zip(rows, found, strict=True):
        part = part_of_set(row.part or top_folder(entry.path))
        if row.part and part is None:
            raise ValueError(f"--labels-from {file}, line {row.line}: {row.part!r} is the name of no part")
        label = "" if part == "unlabelled" else row.label
        parts[part if part in ("test", "validation") else "train"].append((entry, label))
    return parts


def _classes(train: list[tuple[Entry, str]], file: Path) -> list[str]:
    labels = {label for _, label in train if label}
    if len(labels) < 2:
        what = f"only one label, {min(labels)!r}" if labels else "no label"
        raise ValueError(f"--labels-from {file}: there is {what} of training images; two classes are needed")
    return sorted(labels, key=int if all(map(str.isdecimal, labels)) else str)


def _label(part: str, pairs: list[tuple[Entry, str]], classes: list[str], file: Path) -> list[Entry]:
    number = {name: c for c, name in enumerate(classes)} | {"": -1}
    unknown = next((label for _, label in pairs if label not in number), None)
    if unknown is not None:
        raise ValueError(f"--labels-from {file}: {part} class {unknown!r} has no training images")
    return [entry._replace(label=number[label]) for entry, label in pairs]
