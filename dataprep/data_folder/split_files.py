"""Decides which label splits a data folder gets, and writes them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dataprep.console import note
from dataprep.data_folder.checksums import file_sha256
from dataprep.data_folder.manifest import SplitRecord
from dataprep.data_folder.own_splits import OwnSplit, TrainImages, read_own_split
from dataprep.data_folder.split_draws import Draw, Positions, class_counts, named_draws, stratified_counts

Records = dict[str, SplitRecord]


@dataclass(frozen=True)
class SplitRequest:
    """Which splits are wanted, each for every one of `seeds`.

    labels_per_class: label counts; counts that a class cannot meet are an error where `explicit`, otherwise skipped.
    label_fraction: the share of the images in the two fraction splits. own: splits that the user brings, without seed.
    validation: numbers of images that training is to leave out.
    """

    labels_per_class: tuple[int, ...]
    explicit: bool
    label_fraction: float
    seeds: tuple[int, ...]
    own: tuple[OwnSplit, ...] = ()
    validation: tuple[int, ...] = ()


def split_file(folder: Path, name: str) -> Path:
    """Where the split `name` of a data folder is: a .npy file of sorted int64 positions in train.beton."""
    return folder / "splits" / f"{name}.npy"


def check_label_counts(request: SplitRequest, counts: list[int], classes: list[str]) -> None:
    """Raises ValueError when a class has fewer labelled training images (`counts`) than are explicitly requested.

    Likewise where the validation images leave none to train on.
    """
    largest, smallest = max(request.labels_per_class, default=0), min(counts)
    if request.explicit and largest > smallest:
        name = classes[counts.index(smallest)]
        raise ValueError(
            f"--labels-per-class {largest}: class {name!r} has only {smallest} labelled training images; "
            f"request at most {smallest}"
        )
    most = max(request.validation, default=0)
    if most >= sum(counts):
        raise ValueError(f"--validation {most}: there are only {sum(counts)} labelled training images; hold out fewer")
    if request.validation and min(request.validation) < len(classes):
        raise ValueError(
            f"--validation {min(request.validation)}: hold out one image of each class ({len(classes)}) or more"
        )


def wanted_splits(request: SplitRequest, counts: list[int], classes: list[str]) -> dict[str, Draw]:
    """The ways of drawing that a set with `counts` labelled training images per class allows; notes those it skips."""
    smallest = min(counts)
    skipped = [str(count) for count in request.labels_per_class if count > smallest]
    if skipped:
        name = classes[counts.index(smallest)]
        note(f"no splits with {', '.join(skipped)} labels per class: class {name!r} has only {smallest} images")
    fitting = [count for count in request.labels_per_class if count <= smallest]
    total, asked = sum(stratified_counts(counts, request.label_fraction)), request.label_fraction * sum(counts)
    if total > asked + 1:
        note(f"the stratified split has {total} images, more than {asked:g}: every class gets one at least")
    return named_draws(fitting, request.label_fraction, len(classes), request.validation)


def missing_splits(
    folder: Path, draws: dict[str, Draw], seeds: Sequence[int], known: Records
) -> dict[str, tuple[Draw, int]]:
    """{name: (draw, seed)} of the splits that are not in `known`, or whose file is gone."""
    every = {f"{labels}-seed{seed}": (draw, seed) for labels, draw in draws.items() for seed in seeds}
    present = {name for name in known if split_file(folder, name).exists()}
    return {name: how for name, how in every.items() if name not in present}


def write_splits(folder: Path, labels: Positions, missing: dict[str, tuple[Draw, int]]) -> Records:
    """Draw and write splits of train.beton, whose labels are int64 [N]; returns the manifest's records of them."""
    records: Records = {}
    for name, (draw, seed) in missing.items():
        records[name] = _write(folder, name, draw(labels, seed))
    return records


def _write(folder: Path, name: str, positions: Positions) -> SplitRecord:
    (folder / "splits").mkdir(exist_ok=True)
    temporary = folder / "splits" / f".{name}.partial.npy"
    np.save(temporary, positions)
    file = temporary.rename(split_file(folder, name))
    return {"size": len(positions), "sha256": file_sha256(file)}


def write_own_splits(folder: Path, request: SplitRequest, images: TrainImages, known: Records) -> Records:
    """Write the splits that the user brings and that are not there yet; returns the manifest's records of them.

    Raises ValueError, before anything is written, for a split that cannot be read, or whose name has other images.
    """
    own = [(split, read_own_split(split, images, say=True)) for split in request.own]
    for split, positions in own:
        file = split_file(folder, split.name)
        if split.name in known and file.exists() and not np.array_equal(np.load(file), positions):
            raise ValueError(
                f"--split {split.name}: split {split.name!r} exists with other images; choose another name"
            )
    return {
        split.name: {**_write(folder, split.name, positions), "source": split.file.name}
        for split, positions in own
        if split.name not in known or not split_file(folder, split.name).exists()
    }


def write_all_splits(folder: Path, labels: Positions, request: SplitRequest, classes: list[str]) -> Records:
    """Write every wanted split of a new data folder."""
    draws = wanted_splits(request, class_counts(labels, len(classes)), classes)
    return write_splits(folder, labels, missing_splits(folder, draws, request.seeds, known={}))
