"""FixMatch's targets against a loop over the formula."""

import math

import torch

from pipeline.methods.algorithms.fixmatch import FixMatch
from tests.support.problems import context


def fixmatch(threshold: float) -> FixMatch:
    return FixMatch(context(f"unlabelled.threshold={threshold}", classes=4))


def test_targets_equal_the_formula() -> None:
    logits = torch.randn(50, 4, generator=torch.Generator().manual_seed(0)) * 2
    got = fixmatch(0.6).pseudo_label(logits, torch.arange(50))
    for row, label, weight in zip(logits.tolist(), got.label.tolist(), got.weight.tolist(), strict=True):
        shares = [math.exp(z) / sum(math.exp(other) for other in row) for z in row]
        assert label == shares.index(max(shares))
        assert weight == float(max(shares) >= 0.6)
    assert 0 < got.weight.sum() < 50


def test_the_threshold_itself_counts() -> None:
    assert fixmatch(0.25).pseudo_label(torch.zeros(1, 4), torch.arange(1)).weight.tolist() == [1.0]
