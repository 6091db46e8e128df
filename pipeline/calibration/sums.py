"""Binned calibration errors, computed from sums that ranks can add up.

`BinSums` holds three sums per bin. The sums over parts of a test set add up to those over the whole, so ranks that
evaluated disjoint samples need no gather. Every error reduces the last axis and keeps the axes before it: the same
lines score one test set, a batch of bootstrap draws, and each class of a classwise error.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Closed = Literal["left", "right"]


@dataclass(frozen=True)
class BinSums:
    """Sufficient statistics of the binned errors, float64 [..., bins]; `a + b` merges disjoint sets of samples.

    Each bin holds `count` samples; their confidences add up to `confidence`, and `correct` of them are right. In
    classwise sums [C, bins], `confidence` adds up the probabilities of class c and `correct` counts its labels.
    """

    count: Floats
    confidence: Floats
    correct: Floats

    def __add__(self, other: "BinSums") -> "BinSums":
        return BinSums(self.count + other.count, self.confidence + other.confidence, self.correct + other.correct)


def bin_index(confidence: Floats, bins: int, closed: Closed) -> Ints:
    """Bin of each confidence, int64 of its shape, among `bins` equal intervals of [0, 1].

    `closed="left"` means [lo, hi) with 1 in the last bin, `"right"` means (lo, hi] with 0 in the first. No
    extra bin holds a confidence of exactly 1, as in torchmetrics 1.9 (Lightning-AI/torchmetrics#3510).
    """
    # k / bins is the double nearest to the edge; linspace is not (its 0.6 is 0.6000000000000001).
    edges = np.arange(bins + 1) / bins
    side: Literal["left", "right"] = "right" if closed == "left" else "left"
    return np.clip(np.searchsorted(edges, confidence, side=side) - 1, 0, bins - 1)


def equal_width_sums(confidence: Floats, correct: Floats, bins: int, closed: Closed) -> BinSums:
    """Sums [bins] over equal intervals of confidence; `confidence`, `correct` (0 or 1) [N], any N."""
    index = bin_index(confidence, bins, closed)
    count, confidence_sum, correct_sum = (
        np.bincount(index, weights=weights, minlength=bins).astype(np.float64, copy=False)
        for weights in (None, confidence, correct)
    )
    return BinSums(count, confidence_sum, correct_sum)


def classwise_sums(probabilities: Floats, labels: Ints, bins: int) -> BinSums:
    """Sums [C, bins] of every class's probability in bins (lo, hi], whatever the prediction; `probabilities` [N, C].

    With many classes nearly all probabilities lie in the first bin, so only those above it are looked up: the first
    bin gets the rest.
    """
    num, classes = probabilities.shape
    # Rounding may put a probability above 1 / bins into the first bin; the search does the same.
    sample, column = np.nonzero(probabilities > 1 / bins)
    values = probabilities[sample, column]
    cell = column * bins + bin_index(values, bins, "right")
    sums = [
        np.bincount(cell, weights=weights, minlength=classes * bins).astype(np.float64).reshape(classes, bins)
        for weights in (None, values, labels[sample] == column)
    ]
    totals = (np.full(classes, float(num)), probabilities.sum(axis=0), np.bincount(labels, minlength=classes))
    for part, total in zip(sums, totals, strict=True):
        part[:, 0] += total - part.sum(axis=1)
    return BinSums(*sums)


def calibration_error(sums: BinSums) -> Floats:
    """Expected calibration error in [0, 1]: sum_b n_b/N |acc_b - conf_b| (Guo et al. 2017, Eq. 3)."""
    # n_b |acc_b - conf_b| is |correct_b - confidence_b|: nothing is divided by the count of an empty bin.
    return np.abs(sums.correct - sums.confidence).sum(axis=-1) / _samples(sums)


def overconfidence_error(sums: BinSums, weighted: bool = True) -> Floats:
    """sum_b n_b/N conf_b max(conf_b - acc_b, 0) in [0, 1] (Thulasidasan et al. 2019).

    Without the factor conf_b if not `weighted`; these plain over- and underconfidence errors sum to the ECE (CSM, Luo
    et al., equations 66 and 67).
    """
    return _one_sided(sums, sums.confidence - sums.correct, weighted)


def underconfidence_error(sums: BinSums, weighted: bool = True) -> Floats:
    """sum_b n_b/N conf_b max(acc_b - conf_b, 0) in [0, 1]; without the factor conf_b if not `weighted`."""
    return _one_sided(sums, sums.correct - sums.confidence, weighted)


def maximum_error(sums: BinSums) -> Floats:
    """max_b |acc_b - conf_b| over filled bins, in [0, 1] (Naeini et al. 2015)."""
    return _gaps(sums).max(axis=-1)


def rms_error(sums: BinSums) -> Floats:
    """sqrt(sum_b n_b/N (acc_b - conf_b)^2) in [0, 1] (Kumar et al. 2019; the l2 norm of the ECE)."""
    return np.sqrt((np.square(_gaps(sums)) * sums.count).sum(axis=-1) / _samples(sums))


def _gaps(sums: BinSums) -> Floats:
    """|acc_b - conf_b| [..., bins], 0 for empty bins: their sums are 0, and so is their gap."""
    # Bins of a bootstrap draw may hold part of a sample, so a count below 1 is not empty.
    return np.abs(sums.correct - sums.confidence) / np.where(sums.count > 0, sums.count, 1)


def _one_sided(sums: BinSums, gap: Floats, weighted: bool) -> Floats:
    weight = sums.confidence / np.where(sums.count > 0, sums.count, 1) if weighted else 1.0
    return (weight * np.maximum(gap, 0)).sum(axis=-1) / _samples(sums)


def _samples(sums: BinSums) -> Floats:
    return sums.count.sum(axis=-1)
