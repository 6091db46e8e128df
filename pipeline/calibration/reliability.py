"""Accuracy and confidence per bin, as a reliability diagram draws them, with an interval for each accuracy."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from pipeline.calibration.scores import sums
from pipeline.calibration.sums import Closed, Floats, equal_width_sums

_Z95 = 1.959963984540054  # 97.5% quantile of the standard normal distribution


@dataclass(frozen=True)
class ReliabilityBins:
    """The bars of a reliability diagram, all float64 [bins]: fractions in [0, 1], 0 where `count` is 0.

    Bin b covers `lower[b]` to `upper[b]`; `low` and `high` bound its accuracy (95% Wilson interval).
    """

    lower: Floats
    upper: Floats
    count: Floats
    accuracy: Floats
    confidence: Floats
    low: Floats
    high: Floats


def reliability_bins(logits: ArrayLike, labels: ArrayLike, bins: int = 10, closed: Closed = "left") -> ReliabilityBins:
    """Accuracy and mean confidence per bin, by default in the bins of `ece`; ValueError as in `metrics`."""
    total = sums(logits, labels)
    binned = equal_width_sums(total.confidence, total.correct, bins, closed)
    divisor, edges = np.maximum(binned.count, 1), np.arange(bins + 1) / bins
    accuracy = binned.correct / divisor
    low, high = (np.where(binned.count > 0, bound, 0.0) for bound in wilson_interval(accuracy, divisor))
    return ReliabilityBins(
        lower=edges[:-1],
        upper=edges[1:],
        count=binned.count,
        accuracy=accuracy,
        confidence=binned.confidence / divisor,
        low=low,
        high=high,
    )


def wilson_interval(fraction: Floats, count: Floats) -> tuple[Floats, Floats]:
    """95% score interval of a binomial proportion (Wilson 1927); float64 arrays of one shape, `count` >= 1.

    Unlike fraction +- 1.96 standard errors, it does not shrink to nothing when all samples of a small bin are right.
    """
    scale = 1 + _Z95**2 / count
    centre = (fraction + _Z95**2 / (2 * count)) / scale
    half = _Z95 * np.sqrt(fraction * (1 - fraction) / count + _Z95**2 / (4 * count**2)) / scale
    return np.clip(centre - half, 0, 1), np.clip(centre + half, 0, 1)
