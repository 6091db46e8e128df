"""The sharing-out of a test split."""

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


@given(st.permutations(range(40)))
def test_hold_out_ignores_the_order_given(order: list[int]) -> None:
    entries = [Entry(f"{i % 4}/{i}.png", i % 4, 1, 0) for i in range(40)]
    train, test, stratified = hold_out([entries[i] for i in order], 8)
    assert stratified and sorted(train + test) == sorted(entries)
    assert [sum(entry.label == c for entry in test) for c in range(4)] == [2, 2, 2, 2]
    assert set(test) == set(hold_out(entries, 8)[1])
