"""A data folder of generated groups, DATA/NAME-csm, checked before anything is computed of it."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dataprep.generated import manifest
from pipeline.data.dataset import open_beton

Ints = NDArray[np.int64]
FIELDS = ("group", "place")  # of images.beton


@dataclass(frozen=True)
class Groups:
    """G groups of S places each, N = G S images in the order of the beton.

    ``first``, ``second``: classes a < b of each group, int64 [G]; ``ratios``: share of a at each place, float64 [S].
    ``generator_positions``: in train.beton, of the labelled images that the generator was trained on; None: unknown.
    """

    folder: Path
    dataset: str
    classes: list[str]
    stored_size: int
    first: Ints
    second: Ints
    ratios: NDArray[np.float64]
    generator_positions: Ints | None
    images_sha256: str

    @property
    def beton(self) -> Path:
        return self.folder / manifest.BETON

    @property
    def num_images(self) -> int:
        return len(self.first) * len(self.ratios)

    def classes_of(self, images: Ints) -> tuple[Ints, Ints]:
        """Classes a and b of the images at these positions, int64 [n] each."""
        group = images // len(self.ratios)
        return self.first[group], self.second[group]

    @property
    def pairs(self) -> tuple[Ints, Ints]:
        """The pairs of classes [P, 2], sorted, and which of them each group lies between, int64 [G]."""
        pairs, group_pair = np.unique(np.stack([self.first, self.second], 1), axis=0, return_inverse=True)
        return pairs, group_pair.reshape(-1)


def open_groups(folder: Path) -> Groups:
    """Raises ValueError for what is no packed folder, or whose beton does not fit its manifest."""
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder; pack groups with dataprep/make_beton.py groups")
    content = manifest.read(folder)
    reader = open_beton(folder / manifest.BETON, FIELDS)
    try:
        with np.load(folder / manifest.GROUPS) as parts:
            first, second, ratios = (parts[name] for name in ("first", "second", "ratios"))
            positions = parts.get("generator_positions")
    except Exception as error:  # nearly any, of a damaged zip
        raise ValueError(f"{folder / manifest.GROUPS}: cannot be read ({error}); pack the groups again") from error
    if len(first) != content["groups"] or reader.num_samples != len(first) * len(ratios):
        raise ValueError(f"{folder}: {manifest.BETON} does not hold the groups of its manifest.json; pack them again")
    return Groups(
        folder=folder,
        dataset=content["dataset"],
        classes=content["classes"],
        stored_size=content["stored_size"],
        first=first.astype(np.int64),
        second=second.astype(np.int64),
        ratios=ratios,
        generator_positions=positions,
        images_sha256=content["files"][manifest.BETON]["sha256"],
    )
