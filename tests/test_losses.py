"""Loss terms against worked numbers and torch's own definitions."""

import pytest
import torch
import torch.nn.functional as F

from pipeline.losses import cross_entropy, mixed_targets, rank_share, soft_cross_entropy


def test_mix_loss_of_the_worked_example() -> None:
    """FACTS section 5: z = [2, .5, -1], lambda .3, classes 0 and 2: CE 2.3413112."""
    lam = torch.tensor([0.3], dtype=torch.float64)
    targets = mixed_targets(torch.tensor([0]), torch.tensor([2]), lam, 3)
    assert targets.tolist() == [[0.3, 0.0, 0.7]]
    loss = soft_cross_entropy(torch.tensor([[2.0, 0.5, -1.0]], dtype=torch.float64), targets)
    assert loss.item() == pytest.approx(2.3413112, abs=1e-7)


def test_soft_equals_mixed_hard_cross_entropy() -> None:
    logits, first, second = torch.randn(5, 4, dtype=torch.float64), torch.tensor([0, 1, 2, 3, 0]), torch.tensor([1] * 5)
    lam = torch.rand(5, dtype=torch.float64)
    expected = lam * cross_entropy(logits, first) + (1 - lam) * cross_entropy(logits, second)
    torch.testing.assert_close(soft_cross_entropy(logits, mixed_targets(first, second, lam, 4)), expected)


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
