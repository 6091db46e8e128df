"""Streams encoded images from the workers into betons, with an account of what was refused."""

import csv
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataprep.beton import BetonWriter
from dataprep.images import Encoded, encode_chunk
from dataprep.manifest import channel_statistics, class_counts
from dataprep.reporting import Meter, note
from dataprep.sources import Entry, Reader
from dataprep.storage import Storage
from dataprep.workers import Workers, chunks


@dataclass
class Rejects:
    """Images left out so far, and how many of `total` may be: the share `limit`."""

    total: int
    limit: float
    rows: list[tuple[str, str]] = field(default_factory=list)

    def add(self, rows: list[tuple[str, str]]) -> None:
        """Raises ValueError as soon as there are too many, rather than hours later."""
        self.rows += rows
        if len(self.rows) > self.limit * self.total:
            few = "; ".join(f"{path} ({reason})" for path, reason in sorted(self.rows)[:3])
            raise ValueError(
                f"{len(self.rows)} images (of {self.total} in all) can't be read, more than --max-rejected "
                f"{self.limit:g} allows: {few}; mend them or raise --max-rejected"
            )

    def write(self, file: Path) -> None:
        """Columns path, reason; a header alone says that nothing was refused."""
        with file.open("w", newline="", encoding="utf-8", errors="surrogateescape") as out:
            csv.writer(out).writerows([("path", "reason"), *self.rows])


@dataclass
class Stored:
    """What went into the betons. labels: int64 [N] of each part. sums: int64 [2,3] over train."""

    labels: dict[str, NDArray[np.int64]]
    sums: NDArray[np.int64]
    page_size: int = 0
    rejected: int = 0
    images_per_second: float = 0.0

    def counts(self, num_classes: int) -> dict[str, Any]:
        """The manifest's `counts`."""
        train, test = self.labels["train"], self.labels["test"]
        return {
            "train": len(train),
            "test": len(test),
            "unlabelled": int((train < 0).sum()),
            "train_per_class": class_counts(train, num_classes),
            "test_per_class": class_counts(test, num_classes),
            "rejected": self.rejected,
        }

    def statistics(self, size: int) -> dict[str, list[float]]:
        """The manifest's `mean` and `std`, of the training images in [0,1]."""
        mean, std = channel_statistics(self.sums, len(self.labels["train"]) * size * size)
        return {"mean": mean, "std": std}


def encode_parts(
    folder: Path,
    parts: dict[str, list[Entry]],
    reader: Reader,
    storage: Storage,
    workers: Workers,
    limit: float,
) -> Stored:
    """Write PART.beton for each part and rejected.csv into `folder`.

    Raises ValueError when more than the share `limit` of all images is refused or a part ends up empty.
    """
    total = sum(len(entries) for entries in parts.values())
    rejects = Rejects(total, limit)
    stored = Stored({}, np.zeros((2, 3), np.int64))
    with Meter("images", total) as meter:
        for part, entries in parts.items():
            tasks = ((reader, storage.recipe, chunk) for chunk in chunks(entries))
            file = folder / f"{part}.beton"
            with BetonWriter(file, len(entries), storage.stored_size, storage.encoding) as writer:
                for encoded in workers.map(encode_chunk, tasks):
                    rejects.add(encoded.rejects)
                    _append(writer, encoded)
                    meter.add(len(encoded.sizes) + len(encoded.rejects))
                    if part == "train":
                        stored.sums += encoded.sums
            stored.labels[part], stored.page_size = writer.labels, writer.page_size
            if not writer.num_samples:
                raise ValueError(f"not one readable image for {part}.beton; look at --source")
        stored.images_per_second = meter.rate
    _account(rejects, folder / "rejected.csv", stored)
    return stored


def _append(writer: BetonWriter, encoded: Encoded) -> None:
    view, start = memoryview(encoded.data), 0
    for size, label in zip(encoded.sizes, encoded.labels, strict=True):
        writer.append(view[start : start + size], label)
        start += size


def _account(rejects: Rejects, file: Path, stored: Stored) -> None:
    rejects.write(file)
    stored.rejected = len(rejects.rows)
    if rejects.rows:
        note(f"{len(rejects.rows)} images can't be read and were left out, see rejected.csv")
