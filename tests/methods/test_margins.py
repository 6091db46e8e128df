"""Margins, AUM and APM: worked numbers, and a slow dictionary per sample as the reference."""

from collections import defaultdict

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipeline.methods.margins import ApmTable, AumTable, EmaAumTable, all_margins, label_margins

CPU = torch.device("cpu")


def brute_margins(logits: list[float]) -> list[float]:
    return [z - max(other for j, other in enumerate(logits) if j != c) for c, z in enumerate(logits)]


def apm(num_rows: int, num_classes: int, repeats: int = 2) -> ApmTable:
    return ApmTable(num_rows, num_classes, repeats, torch.float64, CPU)


def test_margin_of_the_top_class_with_negative_others() -> None:
    """The zero-floor trap: max(0, second) would give 2."""
    assert all_margins(torch.tensor([[2.0, -0.5, -1.0]])).tolist() == [[2.5, -2.5, -3.0]]


@given(st.integers(2, 7), st.integers(1, 9), st.integers(0, 10**6))
def test_margins_equal_brute_force(num_classes: int, num: int, seed: int) -> None:
    logits = np.random.default_rng(seed).integers(-3, 4, (num, num_classes)).astype(float)  # integers: many ties
    expected = [brute_margins(row) for row in logits.tolist()]
    assert all_margins(torch.tensor(logits)).tolist() == expected


def test_apm_two_visits() -> None:
    """FACTS section 4, oracle: the pseudo-label moves from class 0 to class 1."""
    table = apm(1, 3)
    row = torch.tensor([0])
    table.update(row, all_margins(torch.tensor([[2.0, 0.5, -1.0]], dtype=torch.float64)))
    assert table.table[0].tolist() == pytest.approx([1.4955, -1.4955, -2.991], abs=1e-12)
    assert table.values(row, torch.tensor([0])).item() == pytest.approx(1.4955)
    table.update(row, all_margins(torch.tensor([[0.2, 1.0, -0.6]], dtype=torch.float64)))
    assert table.table[0].tolist() == pytest.approx([0.35119325, -0.35119325, -2.2975865], abs=1e-12)
    assert table.values(row, torch.tensor([1])).item() == pytest.approx(-0.35119325)


def test_aum_two_visits() -> None:
    table, slot, label = AumTable(1, 2, CPU), torch.tensor([0]), torch.tensor([1])
    table.update(slot, label_margins(torch.tensor([[2.0, 0.5, -1.0]], dtype=torch.float64), label))
    assert table.values(slot).item() == pytest.approx(-1.5)
    table.update(slot, label_margins(torch.tensor([[0.2, 1.0, -0.6]], dtype=torch.float64), label))
    assert table.values(slot).item() == pytest.approx(-0.35)


def test_aum_in_the_form_of_equation_5() -> None:
    """FACTS section 4: label 1, margins -1.5 and .8."""
    table, slot = EmaAumTable(1, 2, CPU), torch.tensor([0])
    for margin, expected in ((-1.5, -1.4955), (0.8, -0.35119325)):
        table.update(slot, torch.tensor([margin], dtype=torch.float64))
        assert table.values(slot).item() == pytest.approx(expected, abs=1e-9)


def test_repeats_in_a_batch_are_visits() -> None:
    """``table[index] += value`` would keep one of the two."""
    table = AumTable(3, 2, CPU)
    table.update(torch.tensor([2, 0, 2]), torch.tensor([1.0, 5.0, 2.0]))
    assert table.sums.tolist() == [5.0, 0.0, 3.0]
    assert table.counts.tolist() == [1, 0, 2]
    assert table.values(torch.tensor([1, 2])).tolist() == [0.0, 1.5]


@given(st.integers(0, 10**6), st.integers(1, 6), st.integers(1, 12))
def test_tables_equal_a_dictionary_per_sample(seed: int, num_samples: int, batch: int) -> None:
    random = np.random.default_rng(seed)
    table, aum = apm(num_samples, 4, repeats=batch), AumTable(num_samples, batch, CPU)
    average: dict[int, np.ndarray] = defaultdict(lambda: np.zeros(4))
    visits: dict[int, int] = defaultdict(int)
    margins_seen: dict[int, list[float]] = defaultdict(list)
    for _ in range(4):
        rows, logits = random.integers(0, num_samples, batch), random.normal(size=(batch, 4))
        for row, z in zip(rows.tolist(), logits.tolist(), strict=True):
            decay = 0.997 / (1 + visits[row])
            margins = np.array(brute_margins(z))
            average[row] = average[row] * (1 - decay) + margins * decay
            visits[row] += 1
            margins_seen[row].append(margins[row % 4])
        index, z = torch.from_numpy(rows), torch.from_numpy(logits)
        table.update(index, all_margins(z))
        aum.update(index, label_margins(z, index % 4))
    for row, expected in average.items():
        np.testing.assert_allclose(table.table[row], expected, rtol=0, atol=1e-12)
        assert table.visits[row] == visits[row] == aum.counts[row]
        assert aum.values(torch.tensor([row])).item() == pytest.approx(np.mean(margins_seen[row]), abs=1e-12)


def test_half_precision_is_refused() -> None:
    with pytest.raises(AssertionError, match="visits"):
        ApmTable(1, 2, 2, torch.float16, CPU)
