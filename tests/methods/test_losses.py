"""Loss terms against worked numbers and torch's own definitions."""

import pytest
import torch
import torch.nn.functional as F

from pipeline.methods.losses import (
    binary_cross_entropy,
    cross_entropy,
    effective_epsilon,
    mixed_targets,
    rank_share,
    smooth,
)


def test_mix_loss_of_the_worked_example() -> None:
    """FACTS section 5: z = [2, .5, -1], lambda .3, classes 0 and 2: CE 2.3413112, BCE 1.1714222."""
    lam = torch.tensor([0.3], dtype=torch.float64)
    targets = mixed_targets(torch.tensor([0]), torch.tensor([2]), lam, 3)
    assert targets.tolist() == [[0.3, 0.0, 0.7]]
    logits = torch.tensor([[2.0, 0.5, -1.0]], dtype=torch.float64)
    assert cross_entropy(logits, targets).item() == pytest.approx(2.3413112, abs=1e-7)
    assert binary_cross_entropy(logits, targets).item() == pytest.approx(1.1714222, abs=1e-7)


def test_soft_equals_mixed_hard_cross_entropy() -> None:
    logits, first, second = torch.randn(5, 4, dtype=torch.float64), torch.tensor([0, 1, 2, 3, 0]), torch.tensor([1] * 5)
    lam = torch.rand(5, dtype=torch.float64)
    expected = lam * cross_entropy(logits, first) + (1 - lam) * cross_entropy(logits, second)
    torch.testing.assert_close(cross_entropy(logits, mixed_targets(first, second, lam, 4)), expected)


def test_rank_shares_average_to_the_global_mean() -> None:
    values = torch.randn(12, dtype=torch.float64)
    shares = [rank_share(part, 12, 3) for part in values.split([2, 4, 6])]  # unequal on purpose
    torch.testing.assert_close(torch.stack(shares).mean(), values.mean())


def test_masked_rows_count_in_the_denominator() -> None:
    """FixMatch divides by all mu B images, not by those above the threshold."""
    logits, labels = torch.randn(4, 3), torch.tensor([0, 1, 2, 0])
    weight = torch.tensor([1.0, 0.0, 0.0, 1.0])
    kept = F.cross_entropy(logits[[0, 3]], labels[[0, 3]], reduction="sum")
    torch.testing.assert_close(rank_share(cross_entropy(logits, labels) * weight, 4, 1), kept / 4)


@pytest.mark.parametrize(("form", "target", "other"), [("uniform", 0.93333, 0.03333), ("others", 0.9, 0.05)])
def test_smoothing_of_the_worked_example(form: str, target: float, other: float) -> None:
    """FACTS section 1: C = 3, a = .1; the loss of a smoothed hard label is that of its smoothed distribution."""
    eps = effective_epsilon(0.1, form, 3)
    targets = smooth(F.one_hot(torch.tensor([0, 2]), 3).double(), eps)
    assert targets[0].tolist() == pytest.approx([target, other, other], abs=1e-5)
    logits = torch.randn(2, 3, dtype=torch.float64)
    torch.testing.assert_close(cross_entropy(logits, torch.tensor([0, 2]), eps), cross_entropy(logits, targets))


def test_mixing_smoothed_is_smoothing_mixed() -> None:
    first, second, lam = torch.tensor([0, 1]), torch.tensor([2, 0]), torch.tensor([0.3, 0.9])
    mixed = smooth(mixed_targets(first, second, lam, 3), 0.1)
    one, other = (smooth(F.one_hot(x, 3).float(), 0.1) for x in (first, second))
    torch.testing.assert_close(mixed, lam[:, None] * one + (1 - lam[:, None]) * other)
