"""The sharing-out of a test split."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataprep.layouts.hold_out import hold_out, quotas
from dataprep.sources.entries import Entry


@settings(max_examples=60)
@given(st.lists(st.integers(0, 50), min_size=1, max_size=20), st.floats(0, 1))
def test_quotas(counts: list[int], share: float) -> None:
    total = int(share * sum(counts))
    shares = quotas(counts, total)
    for count, taken in zip(counts, shares, strict=True):
        assert 0 <= taken <= max(count - 1, 0)
        assert taken <= total * count / max(sum(counts), 1) + 1
    assert sum(shares) <= total


@pytest.mark.parametrize(
    ("counts", "total", "held_out", "stratified"),
    [
        ([2, 2, *[1] * 996], 100, 100, False),  # it held out 2
        ([1] * 20, 2, 2, False),
        ([500, *[1] * 500], 100, 100, True),  # it held out 50
        ([100] * 10, 100, 100, True),
        ([1, *[100] * 9], 90, 90, True),
    ],
)
def test_a_test_split_of_the_size_asked_for(counts: list[int], total: int, held_out: int, stratified: bool) -> None:
    entries = [Entry(f"{c}/{i}.png", c, 1, 0) for c, count in enumerate(counts) for i in range(count)]
    train, test, by_class = hold_out(entries, total)
    assert (len(test), len(train), by_class) == (held_out, len(entries) - held_out, stratified)
    if stratified:
        assert {entry.label for entry in train} == set(range(len(counts)))


@given(st.permutations(range(40)))
def test_hold_out_ignores_the_order_given(order: list[int]) -> None:
    entries = [Entry(f"{i % 4}/{i}.png", i % 4, 1, 0) for i in range(40)]
    train, test, stratified = hold_out([entries[i] for i in order], 8)
    assert stratified and sorted(train + test) == sorted(entries)
    assert [sum(entry.label == c for entry in test) for c in range(4)] == [2, 2, 2, 2]
    assert set(test) == set(hold_out(entries, 8)[1])
