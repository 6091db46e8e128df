"""Cuts a data set into parts and finds those that an earlier run has finished."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from dataprep.images.decoding import Recipe
from dataprep.sources.contents import Records, doubtful
from dataprep.sources.entries import Entry
from dataprep.writing.parts import Part, part_key, part_length, read_part
from dataprep.writing.storage import Storage


@dataclass(frozen=True)
class Task:
    """A part to be made: its beton, its entries, how to encode them, and the file that will hold it."""

    beton: str
    entries: list[Entry]
    recipe: Recipe
    file: Path


@dataclass
class Plan:
    """All parts of a data set, in the order of the betons, and those finished so far.

    doubtful: of parts that are finished but for entries whose files may have changed since, the positions of these.
    """

    tasks: list[Task]
    finished: dict[Path, Part]
    doubtful: dict[Path, list[int]] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """Images in all parts."""
        return sum(len(task.entries) for task in self.tasks)

    @property
    def done(self) -> int:
        """Images that are finished."""
        images = {task.file: len(task.entries) for task in self.tasks}
        kept = sum(images[file] - len(positions) for file, positions in self.doubtful.items())
        return kept + sum(images[file] for file in self.finished)

    def betons(self) -> list[str]:
        """Names of the betons, in order."""
        return list(dict.fromkeys(task.beton for task in self.tasks))

    def stored(self, beton: str) -> Iterator[Entry]:
        """The entries of one beton that could be read, in order: those that it holds."""
        for task in self.tasks:
            if task.beton == beton:
                rejected = {path for path, _ in self.finished[task.file].rejects}
                yield from (entry for entry in task.entries if entry.path not in rejected)

    def parts_of(self, beton: str) -> list[Part]:
        """The parts of one beton, all finished, in order."""
        return [self.finished[task.file] for task in self.tasks if task.beton == beton]

    def records(self, beton: str) -> Records:
        """Records of all entries of one beton, in order, once all parts are finished."""
        return np.concatenate([part.records for part in self.parts_of(beton)])


def make_plan(
    folder: Path, entries: dict[str, list[Entry]], storage: Storage, identity: str, rehash: bool = False
) -> Plan:
    """Cut the entries of each beton into parts, and look up in `folder` those that are finished.

    identity: what else shapes the images (software, sources without stamps). rehash: trust no file's size and time.
    Parts of any other plan are removed.
    """
    tasks, length = [], part_length(sum(map(len, entries.values())), storage.encoding)
    for beton, beton_entries in entries.items():
        recipe = storage.recipe(beton)
        for start in range(0, len(beton_entries), length):
            some = beton_entries[start : start + length]
            name = f"{beton}-{start // length:05d}-{part_key(identity, recipe, some)}"
            tasks.append(Task(beton=beton, entries=some, recipe=recipe, file=folder / name))
    planned = {task.file for task in tasks}
    for file in set(folder.iterdir()) - planned:
        file.unlink()
    plan = Plan(tasks=tasks, finished={})
    for task in tasks:
        part = read_part(task.file)
        if part is None:
            continue
        if positions := doubtful(task.entries, part.records, rehash):
            plan.doubtful[task.file] = positions
        else:
            plan.finished[task.file] = part
    return plan
