"""Label splits that the user brings: positions in train.beton, or names of files."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dataprep.console import note, plural
from dataprep.data_folder.split_draws import Positions

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_DRAWN = re.compile(r"\d+|all|[\d.]+pct.*|validation-.*|.*-seed\d+")  # names that drawn splits have, or might
_NPY = b"\x93NUMPY"


@dataclass(frozen=True)
class OwnSplit:
    """name: of the split, which training is given as `labels`. file: .npy of positions, or a text of file names."""

    name: str
    file: Path


@dataclass(frozen=True)
class TrainImages:
    """The training images that a split chooses from, in order.

    files: their paths in the source, [] where they are not known. labels: int64 [N], -1 for none. rejected: files that
    could not be read.
    """

    files: Sequence[str]
    labels: Positions
    rejected: Collection[str] = ()


def parse_own_split(text: str) -> OwnSplit:
    """From NAME=FILE. Raises ValueError for a name that cannot be one, or that drawn splits may have."""
    name, equals, file = text.partition("=")
    if not equals or not file:
        raise ValueError(f"--split {text}: write NAME=FILE, with a .npy of positions or a text of file names")
    if not _NAME.fullmatch(name):
        raise ValueError(f"--split {text}: use letters, digits, '.', '_' and '-' for its name")
    if _DRAWN.fullmatch(name):
        raise ValueError(f"--split {text}: {name} is the name of a drawn split; choose another")
    if not Path(file).is_file():
        raise ValueError(f"--split {text}: {file} does not exist")
    return OwnSplit(name=name, file=Path(file))


def read_own_split(split: OwnSplit, images: TrainImages, *, say: bool = False) -> Positions:
    """Its positions, sorted int64. say: note the files that are left out because they could not be read.

    Raises ValueError for what is no training image, or has no label, or is given twice.
    """
    with split.file.open("rb") as handle:
        is_array = handle.read(len(_NPY)) == _NPY
    positions = _from_array(split, len(images.labels)) if is_array else _from_names(split, images, say)
    if not len(positions):
        raise ValueError(f"--split {split.name}: {split.file} holds no image")
    if len(np.unique(positions)) < len(positions):
        raise ValueError(f"--split {split.name}: {split.file} names an image twice; remove one")
    without = positions[images.labels[positions] < 0]
    if len(without):
        example = images.files[without[0]] if images.files else f"position {without[0]}"
        raise ValueError(
            f"--split {split.name}: {split.file} names {plural(len(without), 'image')} without a label, for example "
            f"{example}"
        )
    return np.sort(positions)


def _from_array(split: OwnSplit, count: int) -> Positions:
    try:
        found = np.load(split.file, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ValueError(f"--split {split.name}: {split.file} is no array of positions ({error})") from error
    if found.ndim != 1 or found.dtype.kind not in "iu":
        raise ValueError(
            f"--split {split.name}: {split.file} is an array of {found.dtype} {list(found.shape)}, not a list of whole "
            "numbers: positions in train.beton"
        )
    if len(found) and (found.min() < 0 or found.max() >= count):
        raise ValueError(f"--split {split.name}: {split.file} must hold positions from 0 to {count - 1}")
    return found.astype(np.int64)


def _from_names(split: OwnSplit, images: TrainImages, say: bool) -> Positions:
    if not images.files:
        raise ValueError(
            f"--split {split.name}: this folder has no files.csv.gz, so images cannot be found by name; give a .npy of "
            "positions, or make the folder again"
        )
    lines = split.file.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    names = [line.strip() for line in lines if line.strip()]
    position = {file: p for p, file in enumerate(images.files)}
    rejected = [name for name in names if name in images.rejected]
    unknown = [name for name in names if name not in position and name not in images.rejected]
    if unknown:
        line = "line names" if len(unknown) == 1 else "of its lines name"
        raise ValueError(
            f"--split {split.name}: {split.file}: {len(unknown)} {line} no training image, for example {unknown[0]}; "
            f"write paths as in files.csv.gz, such as {images.files[0]}"
        )
    if rejected and say:
        are = "file that could not be read is" if len(rejected) == 1 else "files that could not be read are"
        note(f"split {split.name}: {len(rejected)} {are} left out")
    return np.array([position[name] for name in names if name in position], np.int64)
