"""The labelled images of a data set that prototypes are means of, chosen by the name of a split."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.annotation.packed import Groups
from pipeline.config.options import Config
from pipeline.data.dataset import open_beton, read_manifest

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class RealImages:
    """DATA/NAME: ``image_size`` and ``stored_size`` in pixels; ``labels`` int64 [N] of train.beton, -1 for none."""

    folder: Path
    image_size: int
    stored_size: int
    labels: Ints


def real_images(groups: Groups, data: Path) -> RealImages:
    """The data set between whose classes the groups lie. Raises ValueError where it is another, or has no labels."""
    folder = data / groups.dataset
    manifest = read_manifest(folder, Config(data=str(data), dataset=groups.dataset))
    if manifest["classes"] != groups.classes:
        raise ValueError(f"{folder}: its classes are others than those of {groups.folder}; give the right --data")
    if manifest["stored_size"] != groups.stored_size:
        raise ValueError(
            f"{folder}: its images are stored at {manifest['stored_size']} px, those of {groups.folder} at "
            f"{groups.stored_size} px; pack groups of this data folder"
        )
    labels = open_beton(folder / "train.beton").metadata["f1"].astype(np.int64)
    if not (labels >= 0).any():
        raise ValueError(f"{folder / 'train.beton'}: no image has a label, so no class has a prototype")
    return RealImages(folder, manifest["image_size"], manifest["stored_size"], labels)


def labelled_positions(real: RealImages, name: str | None, trained_on: Ints | None) -> Ints:
    """Positions in train.beton, sorted. Raises ValueError for a split that is not there.

    ``name``: all, or that of a split; None: those that the encoder was ``trained_on``, or all where they are not known.
    """
    if name is None and trained_on is not None:
        return trained_on
    if name in (None, "all"):
        return np.flatnonzero(real.labels >= 0)
    file = real.folder / "splits" / f"{name}.npy"
    if not file.is_file():
        known = ", ".join(sorted(path.stem for path in file.parent.glob("*.npy"))) or "none"
        raise ValueError(f"--labels {name}: {real.folder} has no such split; choose all, or one of {known}")
    positions: Ints = np.load(file).astype(np.int64)
    if positions.size == 0 or positions.max() >= len(real.labels) or (real.labels[positions] < 0).any():
        raise ValueError(f"--labels {name}: {file} does not belong to this train.beton; make the folder again")
    return positions
