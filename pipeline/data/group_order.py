"""Which generated images come with a labelled one: some of one group that has its class at an end (CSM, Sec. 3.2).

A group is S images whose class drifts from its second, at place 0, to its first, at place S - 1. All that is drawn is a
function of (seed, index and visit of the labelled image), so it is the same on any number of ranks and after a restart.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.config.sections import AugmentedConfig
from pipeline.data.streams import Ints, PartOrder
from pipeline.randomness import BETWEEN, uniforms


@dataclass(frozen=True)
class GroupsByClass:
    """``second`` [G]: the class at place 0 of each group. ``members`` [2 G]: groups by the classes at their ends.

    Those of class k are members[starts[k]:starts[k + 1]], in order; ``starts`` [K + 1]. All int64.
    """

    second: Ints
    members: Ints
    starts: Ints

    @classmethod
    def of(cls, first: Ints, second: Ints, num_classes: int) -> "GroupsByClass":
        """``first``, ``second`` int64 [G]: the two classes of each group, which differ."""
        ends = np.concatenate([first, second])
        members = np.tile(np.arange(len(first), dtype=np.int64), 2)
        counts = np.bincount(ends, minlength=num_classes)
        order = np.lexsort((members, ends))
        return cls(second, members[order], np.concatenate([[0], np.cumsum(counts)]).astype(np.int64))

    def pick(self, labels: Ints, draws: NDArray[np.float64]) -> Ints:
        """A group of each class of ``labels`` [m], uniformly by ``draws`` in [0, 1) [m]."""
        start, stop = self.starts[labels], self.starts[labels + 1]
        return self.members[start + (draws * (stop - start)).astype(np.int64)]


@dataclass(frozen=True)
class Places:
    """Which of a group's S places are drawn, counted from the end of the class (0) to the other one (S - 1).

    ``end``: the end of the class, always. ``rest``: where the others come from, uniformly and each once.
    """

    count: int
    end: bool
    rest: Ints

    @classmethod
    def of(cls, options: AugmentedConfig, places: int) -> "Places":
        """With one-hot labels the two ends alone; else inner places beside the end, or all of them without it."""
        end = options.per_image > 1 or options.ends == "always"
        inner = np.arange(1, places - 1) if options.labels != "one_hot" else np.array([places - 1])
        everything = np.arange(places) if options.labels != "one_hot" else np.array([0, places - 1])
        return cls(options.per_image, end, (inner if end else everything).astype(np.int64))

    @property
    def enough(self) -> bool:
        """Whether a group has as many places as are drawn."""
        return self.count - self.end <= len(self.rest)

    def draw(self, seed: int, visit: Ints, index: Ints) -> Ints:
        """Of m labelled images -> int64 [m, count], distinct in each row: the first steps of a Fisher-Yates shuffle."""
        rest, rows = np.tile(self.rest, (len(index), 1)), np.arange(len(index))
        for slot in range(self.count - self.end):
            draws = uniforms(seed, BETWEEN, visit, index, counter=1 + slot)
            other = slot + (draws * (len(self.rest) - slot)).astype(np.int64)
            rest[rows, slot], rest[rows, other] = rest[rows, other], rest[rows, slot]
        ends = np.zeros((len(index), int(self.end)), np.int64)
        return np.concatenate([ends, rest[:, : self.count - self.end]], axis=1)


class GroupOrder:
    """The order of the generated images, n for each labelled image in turn; indices are rows of their tables.

    ``labelled``: its own instance of the labelled part's order, for a reading thread of its own (streams remember
    permutations). ``labels`` [labelled samples]: classes by that part's rows. Drawn are this rank's images alone.
    """

    mine = slice(None)

    def __init__(
        self, labelled: PartOrder, labels: Ints, groups: GroupsByClass, places: Places, num_places: int, seed: int
    ) -> None:
        self.labelled, self.labels, self.groups = labelled, labels, groups
        self.places, self.num_places, self.seed = places, num_places, seed
        self.stride = 1 + max(int(stream.members.max()) for stream in labelled.streams)

    @property
    def size(self) -> int:
        """Images of this rank at each step."""
        return self.labelled.size * self.places.count

    @property
    def repeats(self) -> int:
        """How often one image can occur in what is drawn for one step at most: once for each labelled image."""
        return self.labelled.size

    def rows_of(self, index: Ints) -> Ints:
        """Tables have a row for each image of the beton."""
        return index

    def draw(self, first_step: int, steps: int) -> tuple[Ints, Ints]:
        """(index, visit) of ``steps`` steps from ``first_step`` on, both int64 [steps, size], image after image.

        ``visit`` numbers the labelled image and its visit, so that the views of a generated image differ each time.
        """
        index, visit = (part[:, self.labelled.mine].ravel() for part in self.labelled.draw(first_step, steps))
        labels = self.labels[self.labelled.rows_of(index)]
        group = self.groups.pick(labels, uniforms(self.seed, BETWEEN, visit, index))
        away = self.places.draw(self.seed, visit, index)
        at_first = self.groups.second[group] == labels
        place = np.where(at_first[:, None], away, self.num_places - 1 - away)
        images = group[:, None] * self.num_places + place
        origin = np.repeat(visit * self.stride + index, self.places.count)
        return images.reshape(steps, -1), origin.reshape(steps, -1)
