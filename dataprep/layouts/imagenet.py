"""ImageNet (ILSVRC2012) in its usual forms: class folders, a flat val/, the original tars, or Kaggle's zip.

An image's path is train/<wnid>/<name> or val/<wnid>/<name> in all of these layouts, so storage order and splits are
the same from each.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from dataprep.console import plural
from dataprep.layouts.devkit import GroundTruth, read_ground_truth
from dataprep.layouts.kaggle import SOLUTION, Solution, images_folder, members_of, solution_inside, solution_near
from dataprep.layouts.listing import Listing, ListingRequest
from dataprep.layouts.names import is_image
from dataprep.layouts.published import compare_count
from dataprep.sources.archives import open_archive
from dataprep.sources.directories import list_directory
from dataprep.sources.entries import Entry, Reader
from dataprep.sources.readers import FileReader, FlatReader, ReaderSet, TarReader
from dataprep.sources.tars import list_nested_tar

CLASSES, TRAIN_IMAGES, VAL_PER_CLASS = 1000, 1_281_167, 50  # published sizes
TARS = {"train": "ILSVRC2012_img_train.tar", "val": "ILSVRC2012_img_val.tar"}
WNID = re.compile(r"n\d{8}")
TRAIN_READER, VAL_READER, FLAT_VAL_READER = range(3)
Truth = Callable[[], Solution | GroundTruth]  # reads what labels a flat val/


@dataclass
class _Subset:
    """Images of train or val: in a folder named by their wnid, flat in the subset's folder, or elsewhere (strays).

    `sorted` entries carry the subset's name in their path, `flat` ones are plain file names.
    """

    name: str
    reader: Reader
    flat_reader: Reader
    sorted: list[Entry] = field(default_factory=list)
    flat: list[Entry] = field(default_factory=list)
    strays: list[str] = field(default_factory=list)

    def take(self, entries: Iterable[Entry]) -> "_Subset":
        """Sort the images among `entries` by where they are."""
        for entry in entries:
            *folders, name = entry.path.split("/")
            if name.startswith(".") or not is_image(name):
                continue
            if not folders:
                self.flat.append(entry)
            elif len(folders) == 1 and WNID.fullmatch(folders[0]):
                self.sorted.append(entry._replace(path=f"{self.name}/{entry.path}"))
            else:
                self.strays.append(f"{self.name}/{entry.path}")
        return self


def list_imagenet(request: ListingRequest) -> Listing:
    """Classes are the sorted wnids that have training images; validation images of other classes are left out.

    Raises ValueError when a subset is missing, or val is flat and there is no development kit.
    """
    source = request.source_path()
    if source.is_dir():
        folder = images_folder(source)
        train, val = _open(folder, "train"), _open(folder, "val")
        truth: Truth = partial(_ground_truth, folder)
    else:
        train, val, truth = _open_archive(source, request.work)
    number = _number_classes(train, source)
    val_entries = _with_wnid(val, truth)
    test = _label(val_entries, number)
    if not test:
        raise ValueError(f"--source {source}: val has no images of the {len(number)} classes of train; check val")
    strays = train.strays + [f"train/{entry.path}" for entry in train.flat] + val.strays
    notes = _counts(number, train.sorted, test) + _left_out(strays, len(val_entries) - len(test))
    return Listing(
        classes=list(number),
        train=_label(train.sorted, number),
        test=test,
        reader=ReaderSet((train.reader, val.reader, val.flat_reader)),
        has_test_split=True,
        native_size=0,
        notes=notes,
    )


def _open_archive(archive: Path, work: Path) -> tuple[_Subset, _Subset, Truth]:
    """Train and val of Kaggle's archive, or of any with train/<wnid>/ and val/; and what labels a flat val/."""
    entries, reader = open_archive(archive, work)
    members = members_of(entries)
    train, val = (
        _Subset(name=name, reader=reader, flat_reader=reader).take(members[name]) for name in ("train", "val")
    )

    def truth() -> Solution:
        solution = solution_inside(archive, entries, reader)
        if solution is None:
            raise ValueError(f"--source {archive}: val/ is flat and there is no {SOLUTION} to label it; put it beside")
        return solution

    return train, val, truth


def _ground_truth(folder: Path) -> Solution | GroundTruth:
    return solution_near(folder) or read_ground_truth(folder)


def _open(source: Path, name: str) -> _Subset:
    folder, tar = source / name, source / TARS[name]
    if folder.is_dir():
        in_folders, flat = FileReader(f"{source.as_posix()}/"), FlatReader(f"{folder.as_posix()}/")
        return _Subset(name=name, reader=in_folders, flat_reader=flat).take(list_directory(folder))
    if tar.is_file():
        # Members are read by offset, so folders added by whoever repacked the tar can be dropped from their paths.
        entries = (entry._replace(path=_tail(entry.path)) for entry in list_nested_tar(tar))
        return _Subset(name=name, reader=TarReader(str(tar)), flat_reader=TarReader(str(tar))).take(entries)
    raise ValueError(
        f"--source {source}: there is neither {name}/ nor {TARS[name]}; both train and val are needed, "
        "from https://image-net.org/download-images"
    )


def _tail(path: str) -> str:
    """'<wnid>/<name>' without what precedes it; the name alone where its folder is not a wnid."""
    *_, folder, name = ["", *path.split("/")]
    return f"{folder}/{name}" if WNID.fullmatch(folder) else name


def _number_classes(train: _Subset, source: Path) -> dict[str, int]:
    wnids = sorted({_wnid(entry) for entry in train.sorted})
    if len(wnids) < 2:
        raise ValueError(
            f"--source {source}: {len(wnids)} classes have training images; they are expected in train/<wnid>/ "
            f"(a wnid looks like n01440764) or in {TARS['train']}"
        )
    return {wnid: c for c, wnid in enumerate(wnids)}


def _with_wnid(val: _Subset, ground_truth: Truth) -> list[Entry]:
    """All of val; flat images get the folder of the wnid that the development kit, or Kaggle's list, gives them."""
    entries = [entry._replace(reader=VAL_READER) for entry in val.sorted]
    if val.flat:
        truth = ground_truth()
        for entry in val.flat:
            path = f"{val.name}/{truth.wnid(entry.path)}/{entry.path}"
            entries.append(entry._replace(path=path, reader=FLAT_VAL_READER))
    return entries


def _wnid(entry: Entry) -> str:
    return entry.path.split("/")[1]


def _label(entries: list[Entry], number: dict[str, int]) -> list[Entry]:
    return [entry._replace(label=number[_wnid(entry)]) for entry in entries if _wnid(entry) in number]


def _counts(number: dict[str, int], train: list[Entry], test: list[Entry]) -> list[str]:
    """Deviations from the published counts; none for the full set."""
    per_class = Counter(_wnid(entry) for entry in test)
    deviating = [wnid for wnid in number if per_class[wnid] != VAL_PER_CLASS]
    notes = compare_count("imagenet classes", len(number), CLASSES)
    notes += compare_count("imagenet training images", len(train), TRAIN_IMAGES)
    notes += compare_count("imagenet validation images", len(test), CLASSES * VAL_PER_CLASS)
    if deviating:
        example = f"{deviating[0]} has {per_class[deviating[0]]}"
        classes = "1 class does" if len(deviating) == 1 else f"{len(deviating)} classes do"
        notes.append(f"{classes} not have {VAL_PER_CLASS} validation images (for example, {example})")
    return notes


def _left_out(strays: list[str], num_other_classes: int) -> list[str]:
    notes = []
    if strays:
        notes.append(f"ignored {plural(len(strays), 'image')} outside the wnid folders, for example {min(strays)}")
    if num_other_classes:
        notes.append(f"left out {plural(num_other_classes, 'validation image')} of classes without training images")
    return notes
