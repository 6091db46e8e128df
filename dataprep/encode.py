"""From entries to betons: encode the parts that are missing, then join them, with an account of what was refused."""

import csv
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataprep.beton import Samples, write_beton
from dataprep.images import Recipe
from dataprep.manifest import channel_statistics, class_counts
from dataprep.parts import Part, PartStream, encode_part, part_key, part_length, read_part
from dataprep.reporting import Meter, note
from dataprep.sources import Entry, Reader
from dataprep.storage import Storage
from dataprep.workers import Workers


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


@dataclass
class Stored:
    """What went into the betons. labels: int64 [N] of each. sums: int64 [2,3] over train.

    files: {"bytes", "sha256"} of each beton.
    """

    labels: dict[str, NDArray[np.int64]] = field(default_factory=dict)
    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    sums: NDArray[np.int64] = field(default_factory=lambda: np.zeros((2, 3), np.int64))
    page_size: int = 0
    rejected: int = 0

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


@dataclass(frozen=True)
class Task:
    """A part to be: the beton it belongs to, its entries, how to encode them, and the file that will hold it."""

    beton: str
    entries: list[Entry]
    recipe: Recipe
    file: Path


@dataclass
class Plan:
    """All parts of a data set, in the order of the betons, and those finished so far."""

    tasks: list[Task]
    finished: dict[Path, Part]

    @property
    def total(self) -> int:
        return sum(len(task.entries) for task in self.tasks)

    @property
    def done(self) -> int:
        """Images in finished parts."""
        return sum(len(task.entries) for task in self.tasks if task.file in self.finished)

    def of(self, beton: str) -> list[Part]:
        return [self.finished[task.file] for task in self.tasks if task.beton == beton]


def make_plan(folder: Path, entries: dict[str, list[Entry]], storage: Storage, identity: str) -> Plan:
    """Cut the entries of each beton into parts and find those that an earlier run has finished in `folder`.

    identity: what else shapes the images (source, software). Parts of another plan are removed.
    """
    tasks, length = [], part_length(sum(map(len, entries.values())), storage.encoding)
    for beton, all_of_it in entries.items():
        recipe = storage.recipe(beton)
        for start in range(0, len(all_of_it), length):
            some = all_of_it[start : start + length]
            name = f"{beton}-{start // length:05d}-{part_key(identity, recipe, some)}"
            tasks.append(Task(beton, some, recipe, folder / name))
    wanted = {task.file for task in tasks}
    for file in set(folder.iterdir()) - wanted:
        file.unlink()
    found = {file: part for file in wanted if (part := read_part(file)) and not part.again}
    return Plan(tasks, found)


def encode_missing(plan: Plan, reader: Reader, workers: Workers, limit: float) -> float:
    """Encode what is not finished; returns images a second.

    Raises ValueError when more than the share `limit` of all images is refused, WorkerDied, or OSError.
    """
    if plan.done:
        note(f"{plan.done} of {plan.total} images were finished by an earlier run and are kept")
    rejects = Rejects(plan.total, limit)
    for part in plan.finished.values():
        rejects.add(part.rejects)
    missing = [task for task in plan.tasks if task.file not in plan.finished]
    with Meter("images", plan.total, plan.done) as meter:
        calls = ((reader, task.recipe, task.entries, task.file) for task in missing)
        for file in workers.map(encode_part, calls, meter.add):
            new = read_part(file)
            if new is None:
                raise OSError(f"{file} can't be read back; look at the disk and run the same command again")
            plan.finished[file] = new
            rejects.add(new.rejects)
        return meter.rate


def join(plan: Plan, folder: Path, storage: Storage) -> Stored:
    """Copy the parts, all finished, into BETON.beton each and write rejected.csv into `folder`.

    Raises ValueError when a beton would be empty, OSError when the disk is full.
    """
    stored, rows = Stored(), []
    with Meter("joined", plan.total) as meter:
        for beton in dict.fromkeys(task.beton for task in plan.tasks):
            parts = plan.of(beton)
            rows += [row for part in parts for row in part.rejects]
            samples = _samples(parts, storage)
            if not len(samples.sizes):
                raise ValueError(f"not one readable image for {beton}.beton; look at --source")
            file = folder / f"{beton}.beton"
            stored.files[file.name] = write_beton(file, samples, PartStream(parts).read, meter.add)
            stored.labels[beton], stored.page_size = samples.labels, samples.page_size
            if beton == "train":
                stored.sums = np.sum([part.sums for part in parts], 0)
    _account(rows, folder / "rejected.csv", stored)
    return stored


def _samples(parts: list[Part], storage: Storage) -> Samples:
    sizes = np.concatenate([part.sizes for part in parts])
    labels = np.concatenate([part.labels for part in parts])
    return Samples(sizes, labels, storage.stored_size, storage.encoding)


def _account(rows: list[tuple[str, str]], file: Path, stored: Stored) -> None:
    """Columns path, reason; a header alone says that nothing was refused."""
    with file.open("w", newline="", encoding="utf-8", errors="surrogateescape") as out:
        csv.writer(out).writerows([("path", "reason"), *rows])
    stored.rejected = len(rows)
    if rows:
        note(f"{len(rows)} images can't be read and were left out, see rejected.csv")
