"""Joins finished parts into betons, and writes the list of rejected images. The first file on the way to need FFCV."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dataprep.console import note, plural
from dataprep.data_folder.manifest import Counts, FileRecord
from dataprep.data_folder.split_draws import class_counts
from dataprep.images.pixel_sums import channel_statistics
from dataprep.progress_meter import ProgressMeter
from dataprep.writing.beton import Samples, write_beton
from dataprep.writing.part_stream import PartStream
from dataprep.writing.parts import Part
from dataprep.writing.plan import Plan
from dataprep.writing.reject_list import NAME, write_rejects
from dataprep.writing.storage import Storage


@dataclass
class Stored:
    """What went into the betons. labels: int64 [N] per beton. sums: int64 [2,3] over train. files: by file name."""

    labels: dict[str, NDArray[np.int64]] = field(default_factory=dict)
    files: dict[str, FileRecord] = field(default_factory=dict)
    sums: NDArray[np.int64] = field(default_factory=lambda: np.zeros((2, 3), np.int64))
    page_size: int = 0
    rejected: int = 0

    def counts(self, num_classes: int) -> Counts:
        """The manifest's `counts`."""
        train, test = self.labels["train"], self.labels["test"]
        validation: Counts = {}  # type: ignore[typeddict-item]
        if (labels := self.labels.get("validation")) is not None:
            validation = {"validation": len(labels), "validation_per_class": class_counts(labels, num_classes)}  # type: ignore[typeddict-item]
        return {
            "train": len(train),
            "test": len(test),
            "unlabelled": int((train < 0).sum()),
            "train_per_class": class_counts(train, num_classes),
            "test_per_class": class_counts(test, num_classes),
            "rejected": self.rejected,
            **validation,
        }

    def mean_and_std(self, stored_size: int) -> tuple[list[float], list[float]]:
        """The manifest's `mean` and `std`: per channel, of the training images, in [0,1]."""
        return channel_statistics(self.sums, len(self.labels["train"]) * stored_size**2)


def join(plan: Plan, folder: Path, storage: Storage) -> Stored:
    """Copy the parts, all finished, into one beton for each part of the set, and write rejected.csv, all in `folder`.

    Raises ValueError when a beton would be empty, OSError when the disk is full.
    """
    stored, rejects = Stored(), []
    with ProgressMeter("joined", plan.total) as meter:
        for beton in plan.betons():
            parts = plan.parts_of(beton)
            rejects += [row for part in parts for row in part.rejects]
            samples = _samples(parts, storage)
            if not len(samples.sizes):
                raise ValueError(f"{beton}.beton would be empty: no image could be read; check --source")
            file = folder / f"{beton}.beton"
            stored.files[file.name] = write_beton(file, samples, PartStream(parts).read, meter.add)
            stored.labels[beton], stored.page_size = samples.numbers["label"], samples.page_size
            if beton == "train":
                stored.sums = np.sum([part.sums for part in parts], 0)
    _list_rejects(rejects, folder / NAME)
    stored.rejected = len(rejects)
    return stored


def _samples(parts: list[Part], storage: Storage) -> Samples:
    return Samples(
        sizes=np.concatenate([part.sizes for part in parts]),
        numbers={"label": np.concatenate([part.labels for part in parts])},
        side=storage.stored_size,
        encoding=storage.encoding,
    )


def _list_rejects(rows: list[tuple[str, str]], file: Path) -> None:
    write_rejects(rows, file)
    if rows:
        note(
            f"{plural(len(rows), 'image')} could not be read and {'was' if len(rows) == 1 else 'were'} left out; "
            "see rejected.csv"
        )
