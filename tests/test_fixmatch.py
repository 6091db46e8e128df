"""FixMatch's targets against a loop over the formula."""

import math

import torch

from pipeline import config
from pipeline.algorithms import ALGORITHMS


def test_targets_equal_the_formula() -> None:
    algorithm = ALGORITHMS["fixmatch"](config.load(None, ["dataset=x", "unlabelled.threshold=0.6"]))
    logits = torch.randn(50, 4, generator=torch.Generator().manual_seed(0)) * 2
    got = algorithm.pseudo_label(logits)
    for row, label, weight in zip(logits.tolist(), got.label.tolist(), got.weight.tolist(), strict=True):
        shares = [math.exp(z) / sum(math.exp(other) for other in row) for z in row]
        assert label == shares.index(max(shares))
        assert weight == float(max(shares) >= 0.6)
    assert 0 < got.weight.sum() < 50


def test_the_threshold_itself_counts() -> None:
    algorithm = ALGORITHMS["fixmatch"](config.load(None, ["dataset=x", "unlabelled.threshold=0.5"]))
    assert algorithm.pseudo_label(torch.zeros(1, 2)).weight.tolist() == [1.0]
