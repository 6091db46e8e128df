"""Any tree of class folders, or a tar of one, in the layouts people have."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from dataprep.listing import Listing, Request, hold_out
from dataprep.sources import Entry, FileReader, Reader, TarReader, list_directory, list_tar, plain_tar

EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")  # torchvision's
UNLABELLED = ("unlabelled", "unlabeled")
REMEDY = "it must hold train/CLASS/... and test/CLASS/... (or val/CLASS/...), or only class folders"


@dataclass
class _Parts:
    """Images sorted by the part they belong to; `strays` are images outside any class folder."""

    train: list[Entry] = field(default_factory=list)
    test: list[Entry] = field(default_factory=list)
    unlabelled: list[Entry] = field(default_factory=list)
    strays: list[Entry] = field(default_factory=list)
    elsewhere: list[Entry] = field(default_factory=list)


def list_folder(request: Request) -> Listing:
    """Classes are the sorted names of the class folders that hold training images.

    Raises ValueError when the layout is none of the known ones or a test class has no training image.
    """
    assert request.source is not None
    source = request.source
    files, reader = _open(source, request.work)
    images, notes = _images_only(files)
    images, wrapper = _unwrap(images)
    if isinstance(reader, FileReader):  # a tar is read by offset: paths are only names there
        reader = FileReader(reader.root + wrapper)
    has_train = any(entry.path.startswith("train/") for entry in images)
    parts = _by_split(images) if has_train else _by_class(images)
    _check(parts, source)
    notes += _notes(parts)
    train, test = parts.train, parts.test
    classes, train, test = _label(train, test, depth=1 if has_train else 0, source=source)
    own_test = bool(test)
    if not own_test:
        train, test = _split(train, request.test_fraction, notes, source)
    return Listing(classes, train + parts.unlabelled, test, reader, own_test, notes=notes)


def _open(source: Path, work: Path) -> tuple[list[Entry], Reader]:
    if source.is_dir():
        return list(list_directory(source)), FileReader(f"{source.as_posix()}/")
    tar = plain_tar(source, work)
    return list(list_tar(tar)), TarReader(str(tar))


def _images_only(files: list[Entry]) -> tuple[list[Entry], list[str]]:
    """Drop hidden files (also macOS's '._' shadows) and files that are no images; say how many of the latter."""
    seen = [f for f in files if not any(part.startswith((".", "__MACOSX")) for part in f.path.split("/"))]
    images = [f for f in seen if f.path.lower().endswith(EXTENSIONS)]
    if len(seen) == len(images):
        return images, []
    others = [f.path for f in seen if not f.path.lower().endswith(EXTENSIONS)]
    kinds = Counter(PurePosixPath(path).suffix.lower() or "no extension" for path in others)
    named = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common(5))
    return images, [f"ignored {len(others)} files that are no images ({named})"]


def _unwrap(images: list[Entry]) -> tuple[list[Entry], str]:
    """Strip folders that merely wrap the tree; returns the entries and the prefix taken off."""
    prefix = ""
    while images:
        top = {entry.path.split("/", 1)[0] for entry in images}
        # 'train' alone is a layout of its own, and a class folder must remain for every image.
        if len(top) > 1 or "train" in top or any(entry.path.count("/") < 2 for entry in images):
            break
        name = f"{top.pop()}/"
        prefix += name
        images = [entry._replace(path=entry.path[len(name) :]) for entry in images]
    return images, prefix


def _by_split(images: list[Entry]) -> _Parts:
    parts = _Parts()
    tops = {entry.path.split("/", 1)[0] for entry in images}
    test = "test" if "test" in tops else "val"
    for entry in images:
        top = entry.path.split("/", 1)[0]
        if top in UNLABELLED:
            parts.unlabelled.append(entry)
        elif top not in ("train", test):
            parts.elsewhere.append(entry)
        elif entry.path.count("/") < 2:
            parts.strays.append(entry)
        else:
            (parts.train if top == "train" else parts.test).append(entry)
    return parts


def _by_class(images: list[Entry]) -> _Parts:
    parts = _Parts()
    for entry in images:
        (parts.train if "/" in entry.path else parts.strays).append(entry)
    return parts


def _check(parts: _Parts, source: Path) -> None:
    tops = {entry.path.split("/", 1)[0] for entry in parts.train}
    if not tops - {"test", "val"}:
        raise ValueError(f"--source {source}: no training images found; {REMEDY}")
    stray = next((s.path for s in parts.strays if s.path.startswith(("test/", "val/"))), None)
    if stray and not parts.test:
        raise ValueError(f"--source {source}: {stray} and others lie in no class folder; {REMEDY}")


def _notes(parts: _Parts) -> list[str]:
    notes = []
    if parts.strays:
        notes.append(f"ignored {len(parts.strays)} images in no class folder, first {parts.strays[0].path}")
    if parts.elsewhere:
        notes.append(f"ignored {len(parts.elsewhere)} images outside the parts used, first {parts.elsewhere[0].path}")
    return notes


def _label(
    train: list[Entry], test: list[Entry], depth: int, source: Path
) -> tuple[list[str], list[Entry], list[Entry]]:
    """Number the class folders, which stand at `depth` of the path."""
    classes = sorted({entry.path.split("/")[depth] for entry in train})
    number = {name: c for c, name in enumerate(classes)}
    unknown = sorted({entry.path.split("/")[depth] for entry in test} - number.keys())
    if unknown:
        raise ValueError(f"--source {source}: test class {unknown[0]!r} has no training images; name both alike")
    if len(classes) < 2:
        raise ValueError(f"--source {source}: only one class folder ({classes[0]!r}); {REMEDY}")

    def labelled(entries: list[Entry]) -> list[Entry]:
        return [entry._replace(label=number[entry.path.split("/")[depth]]) for entry in entries]

    return classes, labelled(train), labelled(test)


def _split(entries: list[Entry], fraction: float, notes: list[str], source: Path) -> tuple[list[Entry], list[Entry]]:
    total = max(int(fraction * len(entries) + 0.5), 1)
    train, test, stratified = hold_out(entries, total)
    if not stratified:
        notes.append(
            "classes are too small for a test split that keeps them all; test images are drawn over all classes"
        )
    notes.append(f"no test folder: {len(test)} of {len(entries)} images are held out for the test (--test-fraction)")
    if not train:
        raise ValueError(f"--source {source}: too few images to split; lower --test-fraction or add images")
    return train, test
