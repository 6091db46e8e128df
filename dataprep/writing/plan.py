"""Cuts a data set into parts and finds those that an earlier run has finished."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dataprep.images.decoding import Recipe
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
    """All parts of a data set, in the order of the betons, and those finished so far."""

    tasks: list[Task]
    finished: dict[Path, Part]

    @property
    def total(self) -> int:
        """Images in all parts."""
        return sum(len(task.entries) for task in self.tasks)

    @property
    def done(self) -> int:
        """Images in finished parts."""
        return sum(len(task.entries) for task in self.tasks if task.file in self.finished)

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


def make_plan(folder: Path, entries: dict[str, list[Entry]], storage: Storage, identity: str) -> Plan:
    """Cut the entries of each beton into parts, and look up in `folder` those that are finished.

    identity: what else shapes the images (source, software). Parts of any other plan are removed.
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
    finished = {file: part for file in planned if (part := read_part(file)) and not part.retry}
    return Plan(tasks=tasks, finished=finished)
