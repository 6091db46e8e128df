"""ImageNet as Kaggle packs it (imagenet-object-localization-challenge): a zip, or what is unpacked from it.

ILSVRC/Data/CLS-LOC/train/<wnid>/..., val/... (flat), test/... (flat, without labels)
LOC_val_solution.csv                  ImageId,PredictionString: the class of each validation image, and boxes
"""

import csv
import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from dataprep.sources.entries import Entry, Reader

SOLUTION = "LOC_val_solution.csv"
_HEADER = ["ImageId", "PredictionString"]
_FOLDERS = ("ILSVRC/Data/CLS-LOC", "Data/CLS-LOC", "CLS-LOC")
_INSIDE = re.compile(r"(?:.*/)?(train|val)/(.+)")
_WNID = re.compile(r"n\d{8}")


class Solution:
    """Looks up the wnid of a validation image. wnids: by name without suffix; origin: where they are from."""

    def __init__(self, wnids: dict[str, str], origin: str) -> None:
        self._wnids, self._origin = wnids, origin

    def wnid(self, name: str) -> str:
        """Raises ValueError for an image that is not listed."""
        stem = PurePosixPath(name).stem
        if stem not in self._wnids:
            raise ValueError(f"val image {name!r}: {self._origin} does not list it; rename or remove it")
        return self._wnids[stem]


def images_folder(source: Path) -> Path:
    """The folder below `source` that holds train/ and val/, if it is as Kaggle lays it out; otherwise `source`."""
    return next((source / name for name in _FOLDERS if (source / name / "train").is_dir()), source)


def solution_near(folder: Path) -> Solution | None:
    """From the file beside the images, or in one of the folders that Kaggle's archive puts around them."""
    candidates = (near / SOLUTION for near in (folder, *folder.absolute().parents[: len(_FOLDERS)]))
    file = next((file for file in candidates if file.is_file()), None)
    return None if file is None else _parse(file.read_text(encoding="utf-8-sig"), str(file))


def solution_inside(archive: Path, entries: Iterable[Entry], reader: Reader) -> Solution | None:
    """From the archive, or from the file beside it."""
    entry = next((entry for entry in entries if PurePosixPath(entry.path).name == SOLUTION), None)
    if entry is None:
        return solution_near(archive.parent)
    content = reader.read(entry)
    assert isinstance(content, bytes)
    return _parse(content.decode("utf-8-sig"), f"{archive}: {entry.path}")


def members_of(entries: Iterable[Entry]) -> dict[str, list[Entry]]:
    """Files of train and val in an archive, by their paths below those folders."""
    found: dict[str, list[Entry]] = {"train": [], "val": []}
    for entry in entries:
        match = _INSIDE.fullmatch(entry.path)
        if match and "/Annotations/" not in f"/{entry.path}":
            found[match[1]].append(entry._replace(path=match[2]))
    return found


def _parse(text: str, origin: str) -> Solution:
    lines = csv.reader(text.splitlines())
    if next(lines, None) != _HEADER:
        raise ValueError(f"{origin}: its first line is not {','.join(_HEADER)}; download it again")
    wnids = {}
    for name, boxes, *_ in ([*line, "", ""] for line in lines if line):
        wnid = boxes.partition(" ")[0]
        if not _WNID.fullmatch(wnid):
            raise ValueError(f"{origin}, line {lines.line_num}: {boxes[:40]!r} begins with no wnid; download it again")
        wnids[name] = wnid
    return Solution(wnids, origin)
