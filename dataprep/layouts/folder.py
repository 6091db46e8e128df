"""Any tree of class folders, or a tar or zip of one, in the usual layouts."""

from collections import Counter
from pathlib import Path, PurePosixPath

from dataprep.console import plural
from dataprep.layouts.empty_classes import empty_classes
from dataprep.layouts.hold_out import hold_out
from dataprep.layouts.listing import Listing, ListingRequest
from dataprep.layouts.names import TRAIN, is_hidden, is_image, part_of_set, top_folder
from dataprep.layouts.tree_parts import KNOWN, Parts, check_wrapper, read_parts
from dataprep.sources.archives import open_archive
from dataprep.sources.directories import list_directory
from dataprep.sources.entries import Entry, Reader
from dataprep.sources.readers import FileReader

REMEDY = f"it must contain {KNOWN}"


def list_folder(request: ListingRequest) -> Listing:
    """Classes are the sorted names of the class folders that hold training images.

    Raises ValueError when the layout is not one of those known, or a test class has no training images.
    """
    source = request.source_path()
    files, reader = open_source(source, request.work)
    images, notes = images_only(files)
    try:
        images, wrapper = _strip_wrapping_folders(images)
        parts = read_parts(images)
    except ValueError as error:
        raise ValueError(f"--source {source}: {error}") from error
    if isinstance(reader, FileReader):  # members of an archive are read by offset: their paths are names only
        reader = FileReader(reader.root + wrapper)
    if not request.extra:
        parts.notes.append(f"{plural(len(parts.extra), 'extra image')} left out (--no-extra)")
        parts.extra = []
    _check(parts, source)
    notes += parts.notes + _left_out(parts)
    classes = _classes(parts, source)
    notes += empty_classes(reader, parts, classes)
    train, validation, test = (
        _label(entries, classes, parts.depth) for entries in (parts.train + parts.extra, parts.validation, parts.test)
    )
    has_test_split = bool(test)
    if not has_test_split:
        train, test = hold_out_test(train, request.test_fraction, notes, source)
    return Listing(
        classes=classes,
        train=train + parts.unlabelled,
        test=test,
        validation=validation,
        reader=reader,
        has_test_split=has_test_split,
        notes=notes,
    )


def open_source(source: Path, work: Path) -> tuple[list[Entry], Reader]:
    """All files of a directory or archive, and their reader."""
    if source.is_dir():
        return list(list_directory(source)), FileReader(f"{source.as_posix()}/")
    return open_archive(source, work)


def images_only(files: list[Entry]) -> tuple[list[Entry], list[str]]:
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
        check_wrapper(name[:-1], images)
        prefix += name
        images = [entry._replace(path=entry.path[len(name) :]) for entry in images]
    return images, prefix


def _check(parts: Parts, source: Path) -> None:
    if not parts.train:
        raise ValueError(f"--source {source}: no training images found; {REMEDY}")
    used = {top_folder(entry.path) for entry in parts.test + parts.validation + parts.extra + parts.train}
    for stray in parts.strays:
        top = top_folder(stray.path)
        if parts.depth and top not in used:
            part = {"train": "training"}.get(part_of_set(top) or "", part_of_set(top))
            raise ValueError(f"--source {source}: {part} images such as {stray.path} are in no class folder; {REMEDY}")


def _left_out(parts: Parts) -> list[str]:
    notes = []
    if parts.strays:
        images = plural(len(parts.strays), "image")
        notes.append(f"ignored {images} outside any class folder, the first is {parts.strays[0].path}")
    for name, entries in parts.unused.items():
        where = f"in {name}/, which is the name of no part" if name else "beside the folders"
        notes.append(f"ignored {plural(len(entries), 'image')} {where}, the first is {entries[0].path}")
    return notes


def _classes(parts: Parts, source: Path) -> list[str]:
    """The names of the class folders of train/, sorted. Raises ValueError where another part has one more."""

    def names(entries: list[Entry]) -> set[str]:
        return {entry.path.split("/")[parts.depth] for entry in entries}

    classes = names(parts.train)
    for part, entries in (("test", parts.test), ("validation", parts.validation), ("extra", parts.extra)):
        if unknown := sorted(names(entries) - classes):
            raise ValueError(
                f"--source {source}: {part} class {unknown[0]!r} has no training images; "
                "class folders must have the same names in both"
            )
    if len(classes) < 2:
        raise ValueError(f"--source {source}: there is only one class folder ({min(classes)!r}); {REMEDY}")
    return sorted(classes)


def _label(entries: list[Entry], classes: list[str], depth: int) -> list[Entry]:
    """Number the classes. depth: which component of a path is its class folder."""
    number = {name: c for c, name in enumerate(classes)}
    return [entry._replace(label=number[entry.path.split("/")[depth]]) for entry in entries]


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
