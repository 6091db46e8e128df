"""Label splits as functions of labels and seed."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataprep.data_folder.split_draws import (
    draw_all,
    draw_fraction,
    draw_per_class,
    draw_stratified,
    draw_validation,
    named_draws,
    positions_by_class,
    stratified_counts,
)

CLASSES = 5
label_arrays = st.lists(st.integers(-1, CLASSES - 1), min_size=1, max_size=300).map(
    lambda values: np.array([*values, *range(CLASSES), *range(CLASSES)], dtype=np.int64)
)
seeds = st.integers(0, 2**32 - 1)


def is_sorted_unique(positions: np.ndarray) -> bool:
    return positions.dtype == np.int64 and bool((np.diff(positions) > 0).all())


@given(label_arrays, seeds)
def test_per_class_is_exact(labels: np.ndarray, seed: int) -> None:
    few = draw_per_class(labels, seed, num_classes=CLASSES, count=1)
    positions = draw_per_class(labels, seed, num_classes=CLASSES, count=2)
    assert is_sorted_unique(positions)
    assert np.bincount(labels[positions], minlength=CLASSES).tolist() == [2] * CLASSES
    assert np.isin(few, positions).all()


@given(label_arrays, seeds, st.floats(0.01, 1))
def test_fractions(labels: np.ndarray, seed: int, fraction: float) -> None:
    labelled = (labels >= 0).sum()
    plain = draw_fraction(labels, seed, fraction=fraction)
    stratified = draw_stratified(labels, seed, num_classes=CLASSES, fraction=fraction)
    for positions in (plain, stratified, draw_all(labels, seed)):
        assert is_sorted_unique(positions) and (labels[positions] >= 0).all()
    assert len(plain) == max(int(fraction * labelled + 0.5), 1)
    expected = stratified_counts([int((labels == c).sum()) for c in range(CLASSES)], fraction)
    assert np.bincount(labels[stratified], minlength=CLASSES).tolist() == expected
    assert len(draw_all(labels, seed)) == labelled


@given(label_arrays, seeds, st.integers(CLASSES, 2 * CLASSES))
def test_validation_is_in_proportion_and_apart_from_small_splits(labels: np.ndarray, seed: int, count: int) -> None:
    groups = [int((labels == c).sum()) for c in range(CLASSES)]
    count = min(count, sum(groups) - 1)
    held = draw_validation(labels, seed, num_classes=CLASSES, count=count)
    shares = np.bincount(labels[held], minlength=CLASSES).tolist()
    assert is_sorted_unique(held) and len(held) == count
    assert shares == stratified_counts(groups, count / sum(groups))
    assert np.array_equal(held, draw_validation(labels, seed, num_classes=CLASSES, count=count))
    few = min(group - share for group, share in zip(groups, shares, strict=True))
    assert not np.isin(draw_per_class(labels, seed, num_classes=CLASSES, count=few), held).any()


def test_no_validation_of_everything() -> None:
    with pytest.raises(ValueError, match="10 validation images of 10 labelled ones leave none"):
        draw_validation(np.arange(10) % CLASSES, 0, num_classes=CLASSES, count=10)


@given(st.lists(st.integers(0, 60), min_size=2, max_size=30).filter(any), st.floats(0.01, 1))
def test_shares_of_classes_add_up(counts: list[int], fraction: float) -> None:
    """To the fraction of all, unless one image of every class is more than that already."""
    shares, present = stratified_counts(counts, fraction), sum(count > 0 for count in counts)
    assert sum(shares) == max(int(fraction * sum(counts) + 0.5), present)
    for share, count in zip(shares, counts, strict=True):
        assert min(count, 1) <= share <= count
        assert share <= fraction * count + 1


@pytest.mark.parametrize(("per_class", "total"), [(22, 88), (15, 60), (1, 40), (130, 520)])
def test_ten_percent_of_small_classes(per_class: int, total: int) -> None:
    """Of 40 classes; rounded class by class they were 8.9%, 13.3%, 100% and 10%."""
    assert sum(stratified_counts([per_class] * 40, 0.1)) == total


def test_classes_partition_the_labelled() -> None:
    labels = np.array([2, -1, 0, 2, 0, -1])
    assert [group.tolist() for group in positions_by_class(labels, 4)] == [[2, 4], [], [0, 3], []]


def test_seeds_differ_and_repeat() -> None:
    labels = np.repeat(np.arange(10), 100)
    for draw in (value for name, value in named_draws([4], 0.1, 10).items() if name != "all"):
        drawn = [draw(labels, seed).tolist() for seed in range(5)]
        assert len({tuple(positions) for positions in drawn}) == 5
        assert draw(labels, 3).tolist() == drawn[3]


def test_draws_never_change() -> None:
    """Published results name a split by its seed alone, so these numbers are frozen."""
    labels = np.arange(30) % 3
    assert draw_per_class(labels, 0, num_classes=3, count=2).tolist() == [0, 4, 5, 20, 22, 27]
    assert draw_fraction(labels, 1, fraction=0.2).tolist() == [0, 3, 6, 11, 17, 28]


def test_names() -> None:
    assert list(named_draws([4, 25], 0.1, 10)) == ["4", "25", "10pct", "10pct-stratified", "all"]
    assert list(named_draws([], 0.1, 10, validation=[50]))[-1] == "validation-50"
    assert "15pct" in named_draws([], 0.15, 10) and "0.5pct-stratified" in named_draws([], 0.005, 10)


def test_too_few_in_a_class() -> None:
    with pytest.raises(ValueError, match="class 1 has 2 labelled images, 3 are needed"):
        draw_per_class(np.array([0, 0, 0, 1, 1]), 0, num_classes=2, count=3)
