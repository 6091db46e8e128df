"""ImageNet (ILSVRC2012) as people have it: class folders, a flat val/, or the original tars read in place.

An image's path is part/<wnid>/<name> in all of these layouts, so order and splits are the same from each.
"""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from dataprep.devkit import read_ground_truth
from dataprep.folder import EXTENSIONS
from dataprep.listing import Listing, Request, compare_count
from dataprep.sources import (
    Entry,
    FileReader,
    FlatReader,
    Reader,
    ReaderSet,
    TarReader,
    list_directory,
    list_nested_tar,
)

CLASSES, TRAIN, VAL_PER_CLASS = 1000, 1_281_167, 50  # published sizes
TARS = {"train": "ILSVRC2012_img_train.tar", "val": "ILSVRC2012_img_val.tar"}
WNID = re.compile(r"n\d{8}")


@dataclass
class _Part:
    """Images of train or val by the way they lie: in a folder of their wnid, flat without one, or elsewhere."""

    name: str
    reader: Reader
    flat_reader: Reader
    sorted: list[Entry] = field(default_factory=list)
    flat: list[Entry] = field(default_factory=list)
    strays: list[str] = field(default_factory=list)

    def take(self, entries: Iterable[Entry]) -> "_Part":
        for entry in entries:
            *folders, name = entry.path.split("/")
            if name.startswith(".") or not name.lower().endswith(EXTENSIONS):
                continue
            if not folders:
                self.flat.append(entry)
            elif len(folders) == 1 and WNID.fullmatch(folders[0]):
                self.sorted.append(entry._replace(path=f"{self.name}/{entry.path}"))
            else:
                self.strays.append(f"{self.name}/{entry.path}")
        return self


def list_imagenet(request: Request) -> Listing:
    """Classes are the sorted wnids that have training images; val images of other classes are left out.

    Raises ValueError when a part is missing, or val is flat and there is no development kit.
    """
    source = request.source
    assert source is not None
    if not source.is_dir():
        raise ValueError(f"--source {source}: name the directory that holds train/ and val/, or the original tars")
    train, val = _open(source, "train"), _open(source, "val")
    number = _number_classes(train, source)
    labelled = _with_wnid(val, source)
    test = _label(labelled, number)
    if not test:
        raise ValueError(f"--source {source}: val has no image of the {len(number)} classes of train; mend val")
    reader = ReaderSet((train.reader, val.reader, val.flat_reader))
    strays = train.strays + [f"train/{entry.path}" for entry in train.flat] + val.strays
    notes = _counts(number, train.sorted, test) + _left_out(strays, len(labelled) - len(test))
    entries = _label(train.sorted, number)
    return Listing(list(number), entries, test, reader, own_test=True, native_size=0, notes=notes)


def _open(source: Path, name: str) -> _Part:
    folder, tar = source / name, source / TARS[name]
    if folder.is_dir():
        part = _Part(name, FileReader(f"{source.as_posix()}/"), FlatReader(f"{folder.as_posix()}/"))
        return part.take(list_directory(folder))
    if tar.is_file():
        # Reading goes by offset, so folders that a repacked tar adds can be dropped.
        part = _Part(name, TarReader(str(tar)), TarReader(str(tar)))
        return part.take(entry._replace(path=_tail(entry.path)) for entry in list_nested_tar(tar))
    raise ValueError(f"--source {source}: there is neither {name}/ nor {TARS[name]}; both parts are needed")


def _tail(path: str) -> str:
    """'.../<wnid>/<name>' without what precedes the wnid; only the name where its folder is none."""
    *_, folder, name = ["", *path.split("/")]
    return f"{folder}/{name}" if WNID.fullmatch(folder) else name


def _number_classes(train: _Part, source: Path) -> dict[str, int]:
    wnids = sorted({_wnid(entry) for entry in train.sorted})
    if len(wnids) < 2:
        raise ValueError(
            f"--source {source}: {len(wnids)} classes have training images; they belong into train/<wnid>/ "
            f"(a wnid looks like n01440764) or {TARS['train']}"
        )
    return {wnid: c for c, wnid in enumerate(wnids)}


def _with_wnid(val: _Part, source: Path) -> list[Entry]:
    """All of val, flat images put under the wnid that the development kit gives them."""
    found = [entry._replace(source=1) for entry in val.sorted]
    if val.flat:
        truth = read_ground_truth(source)
        found += [e._replace(path=f"{val.name}/{truth.wnid(e.path)}/{e.path}", source=2) for e in val.flat]
    return found


def _wnid(entry: Entry) -> str:
    return entry.path.split("/")[1]


def _label(entries: list[Entry], number: dict[str, int]) -> list[Entry]:
    return [entry._replace(label=number[_wnid(entry)]) for entry in entries if _wnid(entry) in number]


def _counts(number: dict[str, int], train: list[Entry], test: list[Entry]) -> list[str]:
    """Differences from the published set: a full one passes in silence."""
    per_class = Counter(_wnid(entry) for entry in test)
    uneven = [wnid for wnid in number if per_class[wnid] != VAL_PER_CLASS]
    notes = compare_count("imagenet classes", len(number), CLASSES)
    notes += compare_count("imagenet training images", len(train), TRAIN)
    notes += compare_count("imagenet validation images", len(test), CLASSES * VAL_PER_CLASS)
    if uneven:
        notes.append(
            f"{len(uneven)} classes don't have {VAL_PER_CLASS} validation images "
            f"(first {uneven[0]}: {per_class[uneven[0]]})"
        )
    return notes


def _left_out(strays: list[str], other_classes: int) -> list[str]:
    notes = []
    if strays:
        notes.append(f"ignored {len(strays)} images in no wnid folder, first {min(strays)}")
    if other_classes:
        notes.append(f"left out {other_classes} validation images of classes without training images")
    return notes
