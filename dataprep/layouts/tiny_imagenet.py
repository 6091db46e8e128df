"""Tiny-ImageNet (200 classes, 64 px) in its zip, as Stanford's CS231n distributes it, or the folder unpacked from it.

wnids.txt                               the classes
train/<wnid>/images/<wnid>_0.JPEG       training images, some of them grey
val/images/val_0.JPEG                   validation images; val/val_annotations.txt: name, wnid, box
test/images/                            without labels, so validation images are the test split, as in the literature
"""

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from dataprep.console import plural
from dataprep.layouts.folder import open_source
from dataprep.layouts.listing import Listing, ListingRequest
from dataprep.layouts.names import is_hidden, is_image
from dataprep.layouts.native_files import NativeFiles
from dataprep.layouts.published import compare_count
from dataprep.sources.entries import Entry, Reader

FOLDER, ARCHIVE = "tiny-imagenet-200", "tiny-imagenet-200.zip"
ADDRESS, MD5 = f"http://cs231n.stanford.edu/{ARCHIVE}", "90528d7ca1a48142e341f4ef8d21d0de"
BYTES = 248_100_043  # of the official zip; one of another size was packed by someone else, and may well be whole
CLASSES, TRAIN_PER_CLASS, VAL_PER_CLASS = 200, 500, 50  # published sizes
WNIDS, ANNOTATIONS = "wnids.txt", "val/val_annotations.txt"
REMEDY = f"name {ARCHIVE} as it was downloaded, or unpack it again"
_WNID = re.compile(r"n\d{8}")
_TRAIN = re.compile(r"train/(n\d{8})/images/[^/]+")
_VAL = re.compile(r"val/images/([^/]+)")


@dataclass(frozen=True)
class _Source:
    """The files of the set by their paths in its folder, and where they are from."""

    origin: Path
    files: dict[str, Entry]
    reader: Reader

    def lines(self, path: str) -> list[str]:
        """Of a text. Raises ValueError where it is missing or cannot be read."""
        entry = self.files.get(path)
        if entry is None:
            raise ValueError(f"--source {self.origin}: {path} is missing; {REMEDY}")
        try:
            content = self.reader.read(entry)
        except Exception as error:  # nearly any, of a damaged archive
            raise ValueError(f"--source {self.origin}: {path} cannot be read ({error}); {REMEDY}") from error
        assert isinstance(content, bytes)
        return content.decode("utf-8", "surrogateescape").splitlines()

    def images(self, pattern: re.Pattern[str]) -> dict[str, list[Entry]]:
        """Images whose paths match, by the pattern's group."""
        found: dict[str, list[Entry]] = defaultdict(list)
        for path, entry in self.files.items():
            match = pattern.fullmatch(path)
            if match and is_image(path) and not is_hidden(path):
                found[match[1]].append(entry)
        return found


def list_tiny_imagenet(request: ListingRequest) -> Listing:
    """Classes are the sorted wnids, as class folders number them. Raises ValueError that names what is missing."""
    source = _open(_find(request), request.work)
    wnids = _read_wnids(source)
    train, others = _train(source, wnids)
    test, unknown = _val(source, wnids)
    per_class = len(wnids) * TRAIN_PER_CLASS, len(wnids) * VAL_PER_CLASS
    notes = compare_count("tiny_imagenet classes", len(wnids), CLASSES)
    notes += compare_count("tiny_imagenet training images", len(train), per_class[0])
    notes += compare_count("tiny_imagenet validation images", len(test), per_class[1])
    if others + unknown:
        notes.append(f"left out {plural(others + unknown, 'image')} of classes that {WNIDS} does not list")
    return Listing(
        classes=wnids,
        train=train,
        test=test,
        reader=source.reader,
        has_test_split=True,
        notes=notes,
        remark="test is the official val: the official test has no labels",
    )


def _find(request: ListingRequest) -> Path:
    """The folder or the archive that holds the set; downloaded if it may be and is not there."""
    source = request.source_path()
    if source.is_file():
        return source
    for folder in (source / FOLDER, source):
        if (folder / WNIDS).is_file() or (folder / "train").is_dir():
            return folder

    def download(folder: Path, missing: list[str]) -> None:
        from torchvision.datasets.utils import download_url  # torch takes seconds to import

        download_url(ADDRESS, folder, ARCHIVE, MD5)

    hint = f"; or unpack it there ({FOLDER}/)"
    files = NativeFiles("tiny_imagenet", addresses=[ADDRESS], md5={ARCHIVE: MD5}, download=download, hint=hint)
    return files.find(request) / ARCHIVE


def _open(origin: Path, work: Path) -> _Source:
    """All files, by their paths without the folders that an archive puts around them."""
    if origin.is_file() and origin.stat().st_size == BYTES:
        _check_md5(origin)
    entries, reader = open_source(origin, work)
    if origin.is_dir():
        return _Source(origin, {entry.path: entry for entry in entries}, reader)
    prefix = _wrapper(entry.path for entry in entries)
    inside = [entry._replace(path=entry.path[len(prefix) :]) for entry in entries if entry.path.startswith(prefix)]
    return _Source(origin, {entry.path: entry for entry in inside}, reader)


def _check_md5(archive: Path) -> None:
    from torchvision.datasets.utils import check_md5  # torch takes seconds to import

    if not check_md5(archive, MD5):
        raise ValueError(
            f"--source {archive}: as long as the official file but of another checksum; it is damaged: "
            "download it again"
        )


def _wrapper(paths: Iterable[str]) -> str:
    """What precedes wnids.txt in an archive: usually tiny-imagenet-200/."""
    places = [path.removesuffix(WNIDS) for path in paths if path.rpartition("/")[2] == WNIDS]
    return min(places, key=len, default=f"{FOLDER}/")


def _read_wnids(source: _Source) -> list[str]:
    """Sorted."""
    wnids = [line.strip() for line in source.lines(WNIDS) if line.strip()]
    if len(wnids) < 2 or len(set(wnids)) < len(wnids) or not all(map(_WNID.fullmatch, wnids)):
        raise ValueError(f"--source {source.origin}: {WNIDS} is not a list of distinct wnids, one per line; {REMEDY}")
    return sorted(wnids)


def _train(source: _Source, wnids: list[str]) -> tuple[list[Entry], int]:
    """Labelled images of the classes, and the number of images of others."""
    found = source.images(_TRAIN)
    if empty := [wnid for wnid in wnids if wnid not in found]:
        more = f", nor of {plural(len(empty) - 1, 'other')} that {WNIDS} lists" if len(empty) > 1 else ""
        raise ValueError(f"--source {source.origin}: there is no image in train/{empty[0]}/images/{more}; {REMEDY}")
    train = [entry._replace(label=c) for c, wnid in enumerate(wnids) for entry in found[wnid]]
    return train, sum(map(len, found.values())) - len(train)


def _val(source: _Source, wnids: list[str]) -> tuple[list[Entry], int]:
    """The same of validation images, as they are annotated."""
    number, annotated, found = {wnid: c for c, wnid in enumerate(wnids)}, _annotated(source), source.images(_VAL)
    if missing := sorted(annotated.keys() - found.keys()):
        raise ValueError(
            f"--source {source.origin}: val/images/ lacks {plural(len(missing), 'image')} that {ANNOTATIONS} lists, "
            f"for example {missing[0]}; {REMEDY}"
        )
    if strays := sorted(found.keys() - annotated.keys()):
        raise ValueError(
            f"--source {source.origin}: {ANNOTATIONS} does not list {plural(len(strays), 'image')} of val/images/, "
            f"for example {strays[0]}; {REMEDY}"
        )
    val = [found[name][0]._replace(label=number[wnid]) for name, wnid in annotated.items() if wnid in number]
    if not val:
        raise ValueError(f"--source {source.origin}: {ANNOTATIONS} lists no image of the classes; {REMEDY}")
    return val, len(annotated) - len(val)


def _annotated(source: _Source) -> dict[str, str]:
    """The wnid of each validation image, by its name."""
    wnids: dict[str, str] = {}
    for number, line in enumerate(source.lines(ANNOTATIONS), start=1):
        name, wnid = [*line.split("\t"), "", ""][:2]
        if not line.strip():
            continue
        if name in wnids or not name or not _WNID.fullmatch(wnid):
            what = "repeats an image" if name in wnids else "is not 'name<tab>wnid ...'"
            raise ValueError(f"--source {source.origin}: {ANNOTATIONS}, line {number} {what}: {line[:60]!r}; {REMEDY}")
        wnids[name] = wnid
    return wnids
