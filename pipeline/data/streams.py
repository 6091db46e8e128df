"""The order of samples: endless streams that are a function of (seed, step), whatever the number of ranks.

The train beton is cut into V virtual shards, contiguous stretches of positions; every global unlabelled batch
takes an equal share of each, and rank r of W serves V/W neighbouring shards. So each rank reads one contiguous
slice of the file, and 1, 2, 4 ... ranks see the same global batch at a step. The labelled batch is a stretch
of one global permutation per epoch of the split.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from pipeline.config.options import most_virtual_shards
from pipeline.randomness import LABELLED, UNLABELLED, permutation

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class VirtualShards:
    """``count`` shards of ``num_samples`` positions; sizes differ by at most 1; equal table rows for each."""

    num_samples: int
    count: int

    @classmethod
    def of(cls, num_samples: int, labelled_batch: int, unlabelled_batch: int) -> "VirtualShards":
        """The largest power of two up to 64 that divides both batches and leaves no shard below its share.

        ``unlabelled_batch`` may be 0 (supervised training); no shard is empty then either.
        """
        count = most_virtual_shards(labelled_batch, unlabelled_batch)
        while count > 1 and num_samples // count < max(1, unlabelled_batch // count):
            count //= 2
        return cls(num_samples, count)

    @property
    def rows(self) -> int:
        """Table rows of one shard: the size of the largest."""
        return -(-self.num_samples // self.count)

    def bounds(self, shard: int) -> tuple[int, int]:
        """First position of ``shard`` and the first beyond it."""
        return shard * self.num_samples // self.count, (shard + 1) * self.num_samples // self.count

    def owned(self, rank: int, world: int) -> range:
        """The shards that ``rank`` serves."""
        each = self.count // world
        return range(rank * each, (rank + 1) * each)

    def within(self, positions: Ints, shard: int) -> Ints:
        """Those of the sorted ``positions`` that lie in ``shard``."""
        low, high = np.searchsorted(positions, self.bounds(shard))
        return positions[low:high]

    def check_world(self, world: int) -> None:
        """ValueError where ``world`` ranks cannot share the shards equally."""
        if self.count % world:
            fitting = ", ".join(str(2**i) for i in range(self.count.bit_length()))
            raise ValueError(
                f"{world} ranks cannot share the {self.count} virtual shards of these batch sizes equally: "
                f"use {fitting} ranks (--nproc_per_node), or batch sizes divisible by more"
            )

    def check_batch(self, unlabelled_batch: int, kept_out: int) -> None:
        """ValueError where a batch holds more unlabelled images than there are, ``kept_out`` of the file aside.

        Labelled images may repeat within a batch, as everywhere in the field: 64 of 40 labels.
        """
        if unlabelled_batch > self.num_samples - kept_out:
            raise ValueError(
                f"batch.labelled x batch.ratio = {unlabelled_batch} unlabelled images a step, but the data set has "
                f"only {self.num_samples - kept_out}: choose a smaller batch.labelled or batch.ratio"
            )

    def row_of(self, positions: Ints, rank: int, world: int) -> Ints:
        """Rows of ``positions`` within ``rank``'s part of a table of ``count * rows`` rows."""
        starts = np.array([self.bounds(s)[0] for s in self.owned(rank, world)])
        local = np.searchsorted(starts, positions, side="right") - 1
        return local * self.rows + positions - starts[local]


class Stream:
    """The members of one shard (or split), endlessly, in a new order each epoch."""

    def __init__(self, members: Ints, *key: int) -> None:
        if len(members) == 0:
            raise ValueError(
                "a part of the data holds no image for one of the streams (labelled, or with "
                "unlabelled.include_labelled=false unlabelled): choose another split (labels)"
            )
        self.members = members
        self.key = key
        self._orders: dict[int, Ints] = {}

    def take(self, start: int, stop: int) -> tuple[Ints, Ints]:
        """Stream positions [start, stop) -> (sample index, visit), both int64 [stop - start]."""
        visits, positions = np.divmod(np.arange(start, stop, dtype=np.int64), len(self.members))
        index = np.empty_like(positions)
        for epoch in np.unique(visits).tolist():
            at = visits == epoch
            index[at] = self.members[self._order(epoch)[positions[at]]]
        return index, visits

    def _order(self, epoch: int) -> Ints:
        if epoch not in self._orders:
            self._orders = {e: o for e, o in self._orders.items() if e >= epoch - 1}
            self._orders[epoch] = permutation(len(self.members), *self.key, epoch)
        return self._orders[epoch]


class Order(Protocol):
    """The order of one part of the batch, a function of the step alone.

    ``mine``: this rank's images among those that ``draw`` gives.
    """

    mine: slice

    @property
    def size(self) -> int:
        """Images of this rank at each step."""
        ...

    @property
    def repeats(self) -> int:
        """How often one sample can occur in what is drawn for one step at most."""
        ...

    @property
    def rows_of(self) -> Callable[[Ints], Ints]:
        """From indices to rows of the part's tables."""
        ...

    def draw(self, first_step: int, steps: int) -> tuple[Ints, Ints]:
        """(index, visit) of ``steps`` steps from ``first_step`` on, both int64 [steps, n]."""
        ...


class PartOrder:
    """The order of one part of the batch: at each step an equal ``share`` of samples of every stream.

    ``rows_of`` maps indices to rows of the part's tables. ``mine``: this rank's images among those drawn, which are the
    global batch's (labelled) or already this rank's alone (unlabelled).
    """

    def __init__(
        self, streams: list[Stream], share: int, rows_of: Callable[[Ints], Ints], mine: slice = slice(None)
    ) -> None:
        self.streams, self.share, self.rows_of, self.mine = streams, share, rows_of, mine

    @property
    def size(self) -> int:
        """Images of this rank at each step."""
        return len(range(len(self.streams) * self.share)[self.mine])

    @property
    def repeats(self) -> int:
        """How often one sample can occur in what is drawn for one step at most."""
        return max((-(-self.share // len(stream.members)) for stream in self.streams), default=0) + 1

    def draw(self, first_step: int, steps: int) -> tuple[Ints, Ints]:
        """(index, visit) of ``steps`` steps from ``first_step`` on, both int64 [steps, n]."""
        taken = [s.take(first_step * self.share, (first_step + steps) * self.share) for s in self.streams]
        none = np.empty((steps, 0), np.int64)
        index = np.concatenate([none, *(i.reshape(steps, self.share) for i, _ in taken)], axis=1)
        visit = np.concatenate([none, *(v.reshape(steps, self.share) for _, v in taken)], axis=1)
        return index, visit


def labelled_order(
    split: Ints, shards: VirtualShards, batch: int, seed: int, rank: int, world: int, *, sharded: bool
) -> PartOrder:
    """The global labelled batch, alike on all ranks; its rows are positions in ``split`` (int64, sorted).

    ``sharded``: drawn from the virtual shards (for labels=all, where each rank then reads its own slice alone); small
    splits fill shards too unevenly and are one stream.
    """
    parts = [shards.within(split, s) for s in range(shards.count)] if sharded else [split]
    streams = [Stream(members, seed, LABELLED, s) for s, members in enumerate(parts)]
    each = batch // world
    mine = slice(rank * each, (rank + 1) * each)
    return PartOrder(streams, batch // len(parts), lambda index: np.searchsorted(split, index), mine)


def unlabelled_order(left_out: Ints, shards: VirtualShards, batch: int, seed: int, rank: int, world: int) -> PartOrder:
    """This rank's part of the unlabelled batch, out of its own shards; rows are those of its part of a table.

    ``left_out``: positions that are not drawn, such as labelled or validation images.
    """
    streams = []
    for shard in shards.owned(rank, world) if batch else ():
        members = np.arange(*shards.bounds(shard), dtype=np.int64)
        if len(left_out):
            members = np.setdiff1d(members, left_out, assume_unique=True)
        streams.append(Stream(members, seed, UNLABELLED, shard))
    return PartOrder(streams, batch // shards.count, partial(shards.row_of, rank=rank, world=world))
