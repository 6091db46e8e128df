"""Order of samples: endless, complete, equal for every number of ranks, and cut by shards."""

from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.data.streams import PartOrder, Stream, VirtualShards, labelled_order, unlabelled_order


class Drawn(NamedTuple):
    """Both parts of some steps: of the global labelled batch, of the rank's unlabelled one."""

    labelled: np.ndarray
    labelled_visit: np.ndarray
    unlabelled: np.ndarray
    unlabelled_visit: np.ndarray
    rows: np.ndarray


class Both(NamedTuple):
    labelled: PartOrder
    unlabelled: PartOrder

    def draw(self, first_step: int, steps: int) -> Drawn:
        labelled, unlabelled = (order.draw(first_step, steps) for order in self)
        return Drawn(*labelled, *unlabelled, self.unlabelled.rows_of(unlabelled[0]))


def order(
    num: int,
    batches: tuple[int, int],
    rank: int = 0,
    world: int = 1,
    *,
    split: np.ndarray | None = None,
    sharded: bool = False,
    include_labelled: bool = True,
) -> Both:
    shards = VirtualShards.of(num, *batches)
    split = np.arange(0, num, 7) if split is None else split
    labelled = labelled_order(split, shards, batches[0], 3, rank, world, sharded=sharded)
    left_out = split[:0] if include_labelled else split
    unlabelled = unlabelled_order(left_out, shards, batches[1], 3, rank, world)
    return Both(labelled, unlabelled)


@pytest.mark.parametrize(
    ("num", "labelled", "unlabelled", "count"),
    [
        (50_000, 64, 448, 64),
        (1297, 16, 112, 16),
        (100, 64, 448, 1),
        (1000, 64, 448, 64),
        (400, 64, 448, 1),
        (448, 64, 448, 64),
        (10**6, 6, 42, 2),
        (1297, 64, 0, 64),  # supervised training draws no unlabelled image
        (20, 64, 0, 16),
    ],
)
def test_number_of_shards(num: int, labelled: int, unlabelled: int, count: int) -> None:
    assert VirtualShards.of(num, labelled, unlabelled).count == count


@given(st.integers(64, 5000), st.sampled_from([1, 2, 4, 8, 16, 32, 64]))
def test_shards_cover_everything_once(num: int, count: int) -> None:
    shards = VirtualShards(num, count)
    bounds = [shards.bounds(s) for s in range(count)]
    assert bounds[0][0] == 0
    assert bounds[-1][1] == num
    assert all(a[1] == b[0] for a, b in pairwise(bounds))
    sizes = {high - low for low, high in bounds}
    assert max(sizes) - min(sizes) <= 1
    assert max(sizes) == shards.rows


@given(st.integers(64, 3000), st.sampled_from([(64, 1), (64, 4), (16, 2), (4, 4)]))
def test_rows_are_unique_and_the_same_on_every_number_of_ranks(num: int, counts: tuple[int, int]) -> None:
    count, world = counts
    shards = VirtualShards(num, count)
    alone = shards.row_of(np.arange(num), 0, 1)
    assert len(set(alone.tolist())) == num
    assert alone.max() < count * shards.rows
    rows_of_a_rank = count * shards.rows // world
    for rank in range(world):
        mine = shards.owned(rank, world)
        positions = np.arange(shards.bounds(mine[0])[0], shards.bounds(mine[-1])[1])
        np.testing.assert_array_equal(shards.row_of(positions, rank, world) + rank * rows_of_a_rank, alone[positions])


def test_ranks_that_do_not_divide() -> None:
    with pytest.raises(ValueError, match=r"3 ranks .* use 1, 2, 4, 8, 16 ranks"):
        VirtualShards.of(1297, 16, 112).check_world(3)


def test_a_batch_larger_than_the_data() -> None:
    shards = VirtualShards.of(448, 64, 448)
    shards.check_batch(448, 0)
    shards.check_batch(0, 448)  # supervised, on all labels
    for kept_out, left in ((1, 447), (448, 0)):
        with pytest.raises(ValueError, match=rf"448 unlabelled images a step, but the data set has only {left}:"):
            shards.check_batch(448, kept_out)


@given(st.integers(1, 40), st.integers(0, 100), st.integers(1, 90))
def test_stream_is_a_permutation_each_epoch(num: int, start: int, length: int) -> None:
    members = np.arange(num) * 10
    stream = Stream(members, 7)
    index, visit = stream.take(0, 5 * num)
    for epoch in range(5):
        assert sorted(index[visit == epoch].tolist()) == members.tolist()
    later, _ = Stream(members, 7).take(start, start + length)
    whole, _ = Stream(members, 7).take(0, start + length)
    np.testing.assert_array_equal(later, whole[start:])


def test_epochs_and_seeds_have_other_orders() -> None:
    members = np.arange(50)
    index, _ = Stream(members, 7).take(0, 100)
    other, _ = Stream(members, 8).take(0, 100)
    assert index[:50].tolist() != index[50:].tolist()
    assert index[:50].tolist() != other[:50].tolist()


@pytest.mark.parametrize("options", [{}, {"include_labelled": False}, {"sharded": True}])
def test_every_number_of_ranks_sees_the_same_global_batches(options: dict) -> None:
    alone = order(1297, (16, 112), **options).draw(5, 40)
    for world in (2, 4, 8, 16):
        parts = [order(1297, (16, 112), rank, world, **options).draw(5, 40) for rank in range(world)]
        for part in parts:
            np.testing.assert_array_equal(part.labelled, alone.labelled)
            np.testing.assert_array_equal(part.labelled_visit, alone.labelled_visit)
        for name in ("unlabelled", "unlabelled_visit"):
            joined = np.concatenate([getattr(p, name) for p in parts], axis=1)
            np.testing.assert_array_equal(joined, getattr(alone, name))
        rows = [part.rows + rank * 16 * 82 // world for rank, part in enumerate(parts)]  # 16 shards of 82 rows
        np.testing.assert_array_equal(np.concatenate(rows, axis=1), alone.rows)


def test_a_rank_draws_only_from_its_slice() -> None:
    part = order(1297, (16, 112), rank=1, world=2, sharded=True).draw(0, 200)
    assert part.unlabelled.min() >= 1297 // 2
    assert set(part.unlabelled.ravel().tolist()) == set(range(648, 1297))
    assert part.labelled[:, 8:].min() >= 1297 // 2  # labels=all: its share of the labelled batch too


def test_labelled_images_can_be_kept_out() -> None:
    split = np.arange(0, 1297, 3)
    drawn = order(1297, (16, 112), split=split, include_labelled=False).draw(0, 100).unlabelled
    assert not set(drawn.ravel().tolist()) & set(split.tolist())
    assert len(set(drawn.ravel().tolist())) == 1297 - len(split)


def test_repeats_bound_what_a_batch_holds() -> None:
    tiny = order(20, (4, 28))
    index = tiny.draw(0, 50).unlabelled
    assert max(np.bincount(row).max() for row in index) <= tiny.unlabelled.repeats
    assert order(50_000, (64, 448)).unlabelled.repeats == 2


def test_a_stream_of_nothing_is_a_clear_error() -> None:
    with pytest.raises(ValueError, match="include_labelled"):
        order(100, (4, 28), split=np.arange(100), include_labelled=False)


@pytest.mark.parametrize("options", [{}, {"sharded": True, "split": np.arange(1297), "include_labelled": False}])
def test_no_unlabelled_batch_changes_nothing_else(options: dict) -> None:
    """Supervised training, also on all labels with none left over."""
    alone, both = order(1297, (16, 0), **options), order(1297, (16, 0), rank=1, world=2, **options)
    assert (alone.unlabelled.streams, alone.unlabelled.repeats, alone.unlabelled.size) == ([], 1, 0)
    drawn = alone.draw(2, 9)
    assert drawn.unlabelled.shape == drawn.unlabelled_visit.shape == drawn.rows.shape == (9, 0)
    np.testing.assert_array_equal(both.draw(2, 9).labelled, drawn.labelled)
    if not options:
        np.testing.assert_array_equal(order(1297, (16, 112)).draw(2, 9).labelled, drawn.labelled)
