"""Reliability bins hold what the ECE is made of; the intervals are Wilson's."""

import numpy as np
import pytest

from pipeline.calibration.reliability import reliability_bins, wilson_interval
from pipeline.calibration.scores import metrics
from tests.support.worked_examples import random_predictions


def test_reliability_bins_hold_what_ece_is_made_of() -> None:
    logits, labels = random_predictions(0, 500, 5)
    bins = reliability_bins(logits, labels)
    ece = (bins.count / 500 * np.abs(bins.accuracy - bins.confidence)).sum()
    assert 100 * ece == pytest.approx(metrics(logits, labels)["ece"], abs=1e-9)
    filled = bins.count > 0
    assert not filled[0] and bins.low[0] == bins.high[0] == 0  # 5 classes: no confidence below .2
    assert (bins.low[filled] <= bins.accuracy[filled]).all() and (bins.accuracy[filled] <= bins.high[filled]).all()
    assert bins.lower[3] == 0.3 and bins.upper[9] == 1.0


def test_wilson_interval_of_published_cases() -> None:
    # Newcombe (1998), Table I: 81 of 263, 15 of 148, 0 of 20, 1 of 29.
    right, total = np.array([81, 15, 0, 1.0]), np.array([263, 148, 20, 29.0])
    low, high = wilson_interval(right / total, total)
    np.testing.assert_allclose(low, [0.2553, 0.0624, 0, 0.0061], atol=5e-5)
    np.testing.assert_allclose(high, [0.3662, 0.1605, 0.1611, 0.1718], atol=5e-5)
