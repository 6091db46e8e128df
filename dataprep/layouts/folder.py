"""Any tree of class folders, or a tar or zip of one, in the usual layouts."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from dataprep.console import plural
from dataprep.layouts.hold_out import hold_out
from dataprep.layouts.listing import Listing, ListingRequest
from dataprep.layouts.names import (
    TEST_NAMES,
    TRAIN,
    UNLABELLED_NAMES,
    is_hidden,
    is_image,
    pick_test_folder,
    top_folder,
)
from dataprep.sources.archives import open_archive
from dataprep.sources.directories import list_directory
from dataprep.sources.entries import Entry, Reader
from dataprep.sources.readers import FileReader

REMEDY = "it must contain train/CLASS/... and test/CLASS/... (or val/CLASS/...), or only class folders"


@dataclass
class _Subsets:
    """Images by what they are used for. strays: images outside any class folder. unused: in folders of other names."""

    train: list[Entry] = field(default_factory=list)
    test: list[Entry] = field(default_factory=list)
    unlabelled: list[Entry] = field(default_factory=list)
    strays: list[Entry] = field(default_factory=list)
    unused: list[Entry] = field(default_factory=list)


def list_folder(request: ListingRequest) -> Listing:
    """Classes are the sorted names of the class folders that hold training images.

    Raises ValueError when the layout is not one of those known, or a test class has no training images.
    """
    source = request.source_path()
    files, reader = _open(source, request.work)
    images, notes = _images_only(files)
    images, wrapper = _strip_wrapping_folders(images)
    if isinstance(reader, FileReader):  # members of an archive are read by offset: their paths are names only
        reader = FileReader(reader.root + wrapper)
    has_train_folder = any(entry.path.startswith(f"{TRAIN}/") for entry in images)
    subsets = _by_split_folder(images) if has_train_folder else _by_class_folder(images)
    _check(subsets, source)
    notes += _notes(subsets)
    train, test = subsets.train, subsets.test
    classes, train, test = _label(train, test, depth=1 if has_train_folder else 0, source=source)
    has_test_split = bool(test)
    if not has_test_split:
        train, test = hold_out_test(train, request.test_fraction, notes, source)
    return Listing(
        classes=classes,
        train=train + subsets.unlabelled,
        test=test,
        reader=reader,
        has_test_split=has_test_split,
        notes=notes,
    )


def _open(source: Path, work: Path) -> tuple[list[Entry], Reader]:
    if source.is_dir():
        return list(list_directory(source)), FileReader(f"{source.as_posix()}/")
    return open_archive(source, work)


def _images_only(files: list[Entry]) -> tuple[list[Entry], list[str]]:
    """Drop hidden files, and files that are not images; a note counts the latter."""
    visible = [file for file in files if not is_hidden(file.path)]
    images = [file for file in visible if is_image(file.path)]
    if len(visible) == len(images):
        return images, []
    others = [file.path for file in visible if not is_image(file.path)]
    suffixes = Counter(PurePosixPath(path).suffix.lower() or "no extension" for path in others)
    listed = ", ".join(f"{count} {suffix}" for suffix, count in suffixes.most_common(5))
    are = "is not an image" if len(others) == 1 else "are not images"
    return images, [f"ignored {plural(len(others), 'file')} that {are} ({listed})"]


def _strip_wrapping_folders(images: list[Entry]) -> tuple[list[Entry], str]:
    """Strip folders that merely wrap the tree; returns the entries and the prefix that was stripped."""
    prefix = ""
    while images:
        tops = {top_folder(entry.path) for entry in images}
        # A lone 'train' is a layout of its own, and every image must keep a class folder.
        if len(tops) > 1 or TRAIN in tops or any(entry.path.count("/") < 2 for entry in images):
            break
        name = f"{tops.pop()}/"
        prefix += name
        images = [entry._replace(path=entry.path[len(name) :]) for entry in images]
    return images, prefix


def _by_split_folder(images: list[Entry]) -> _Subsets:
    subsets = _Subsets()
    test = pick_test_folder({top_folder(entry.path) for entry in images})
    for entry in images:
        top = top_folder(entry.path)
        if top in UNLABELLED_NAMES:
            subsets.unlabelled.append(entry)
        elif top not in (TRAIN, test):
            subsets.unused.append(entry)
        elif entry.path.count("/") < 2:
            subsets.strays.append(entry)
        else:
            (subsets.train if top == TRAIN else subsets.test).append(entry)
    return subsets


def _by_class_folder(images: list[Entry]) -> _Subsets:
    subsets = _Subsets()
    for entry in images:
        (subsets.train if "/" in entry.path else subsets.strays).append(entry)
    return subsets


def _check(subsets: _Subsets, source: Path) -> None:
    tops = {top_folder(entry.path) for entry in subsets.train}
    if not tops - set(TEST_NAMES):
        raise ValueError(f"--source {source}: no training images found; {REMEDY}")
    stray = next((s.path for s in subsets.strays if top_folder(s.path) in TEST_NAMES), None)
    if stray and not subsets.test:
        raise ValueError(f"--source {source}: test images such as {stray} are in no class folder; {REMEDY}")


def _notes(subsets: _Subsets) -> list[str]:
    notes = []
    if subsets.strays:
        images = plural(len(subsets.strays), "image")
        notes.append(f"ignored {images} outside any class folder, the first is {subsets.strays[0].path}")
    if subsets.unused:
        images = plural(len(subsets.unused), "image")
        notes.append(f"ignored {images} outside the folders used, the first is {subsets.unused[0].path}")
    return notes


def _label(
    train: list[Entry], test: list[Entry], depth: int, source: Path
) -> tuple[list[str], list[Entry], list[Entry]]:
    """Number the classes. depth: which component of a path is its class folder."""
    classes = sorted({entry.path.split("/")[depth] for entry in train})
    number = {name: c for c, name in enumerate(classes)}
    unknown = sorted({entry.path.split("/")[depth] for entry in test} - number.keys())
    if unknown:
        raise ValueError(
            f"--source {source}: test class {unknown[0]!r} has no training images; "
            "class folders must have the same names in both"
        )
    if len(classes) < 2:
        raise ValueError(f"--source {source}: there is only one class folder ({classes[0]!r}); {REMEDY}")

    def labelled(entries: list[Entry]) -> list[Entry]:
        return [entry._replace(label=number[entry.path.split("/")[depth]]) for entry in entries]

    return classes, labelled(train), labelled(test)


def hold_out_test(
    entries: list[Entry], fraction: float, notes: list[str], source: Path
) -> tuple[list[Entry], list[Entry]]:
    total = max(int(fraction * len(entries) + 0.5), 1)
    train, test, stratified = hold_out(entries, total)
    if not stratified:
        notes.append("classes are too small for a stratified test split; test images are drawn regardless of class")
    notes.append(f"there is no test folder: {len(test)} of {len(entries)} images are held out (--test-fraction)")
    if not train:
        raise ValueError(
            f"--source {source}: too few images to hold out a test split; lower --test-fraction or add images"
        )
    return train, test
