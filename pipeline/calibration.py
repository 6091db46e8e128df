"""Calibration of a classifier's top-label confidence: errors, their floor, bins of a reliability diagram.

Every binned error is computed from `BinSums`, three sums per confidence bin. Sums over parts of a test set
add up to the sums over the whole, so ranks that evaluated disjoint samples need one sum-reduction, no gather.
Everything is NumPy float64: a half or float32 softmax saturates at exactly 1 for over-confident networks.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Closed = Literal["left", "right"]

_Z95 = 1.959963984540054  # 97.5% quantile of the standard normal distribution
_DRAWN_AT_ONCE = 2_000_000  # Bernoulli variables that calibrated_floor holds in memory: 16 MB of float64


@dataclass(frozen=True)
class BinSums:
    """Sufficient statistics of the binned errors, float64 [bins]; `a + b` merges disjoint sets of samples.

    `count` samples lie in each bin, their confidences add up to `confidence`, `correct` of them are right.
    """

    count: Floats
    confidence: Floats
    correct: Floats

    def __add__(self, other: "BinSums") -> "BinSums":
        return BinSums(self.count + other.count, self.confidence + other.confidence, self.correct + other.correct)


def metrics(logits: ArrayLike, labels: ArrayLike) -> dict[str, float]:
    """Error and calibration of a whole test set, as `result.json` stores them.

    `logits` real [N, C], `labels` int [N] in [0, C). In percent: `error` (top-1), `ece` (10 equal bins
    [lo, hi), last one closed, as the CalibrateMix release reports it), `ece15` (15 equal bins (lo, hi], Guo
    et al. 2017), `ace` (15 equal-mass bins), `oe` and `ue` (confidence-weighted, bins of `ece`). In natural
    units: `nll` (nats), `brier` (summed over classes, mean over samples). `num_samples` is an int.
    ValueError as in `check_predictions`.
    """
    checked, targets = check_predictions(logits, labels)
    probabilities = softmax(checked)
    confidence, correct = top_label(probabilities, targets)
    tens = equal_width_sums(confidence, correct, bins=10, closed="left")
    fifteens = equal_width_sums(confidence, correct, bins=15, closed="right")
    return {
        "error": 100 * float(1 - correct.mean()),
        "ece": 100 * calibration_error(tens),
        "ece15": 100 * calibration_error(fifteens),
        "ace": 100 * calibration_error(equal_mass_sums(confidence, correct, bins=15)),
        "oe": 100 * overconfidence_error(tens),
        "ue": 100 * underconfidence_error(tens),
        "nll": negative_log_likelihood(checked, targets),
        "brier": brier_score(probabilities, targets),
        "num_samples": len(targets),
    }


def check_predictions(logits: ArrayLike, labels: ArrayLike) -> tuple[Floats, Ints]:
    """The same as float64 [N, C] and int64 [N].

    ValueError for a wrong shape or type, no samples, NaN or Inf logits, or a label outside [0, C).
    """
    logits, labels = np.asarray(logits), np.asarray(labels)
    if logits.ndim != 2 or labels.ndim != 1 or len(logits) != len(labels):
        shapes = f"{list(logits.shape)} and {list(labels.shape)}"
        raise ValueError(f"logits must be [N, C] and labels [N], not {shapes}")
    if 0 in logits.shape:
        raise ValueError(f"logits of shape {list(logits.shape)} hold no prediction")
    if logits.dtype.kind not in "fiu" or labels.dtype.kind not in "iu":
        raise ValueError(f"logits must be real and labels integers, not {logits.dtype} and {labels.dtype}")
    bad = ~np.isfinite(logits).all(axis=1)
    if bad.any():
        raise ValueError(f"logits of {bad.sum()} samples are NaN or Inf, the first in row {bad.argmax()}")
    outside = (labels < 0) | (labels >= logits.shape[1])
    if outside.any():
        row = int(outside.argmax())
        raise ValueError(f"label {labels[row]} in row {row} is outside [0, {logits.shape[1]})")
    return logits.astype(np.float64), labels.astype(np.int64)


def softmax(logits: Floats) -> Floats:
    """Probabilities, float64 [N, C]; none exceeds 1, as the largest exponential of a row is exactly 1."""
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    exponentials /= exponentials.sum(axis=1, keepdims=True)  # in place: 50,000 x 1,000 of them are 400 MB
    return exponentials


def top_label(probabilities: Floats, labels: Ints) -> tuple[Floats, Floats]:
    """Confidence and correctness (0 or 1) of the first most probable class, float64 [N] both."""
    correct = probabilities.argmax(axis=1) == labels
    return probabilities.max(axis=1), correct.astype(np.float64)


def bin_index(confidence: Floats, bins: int, closed: Closed) -> Ints:
    """Bin of each confidence, int64 [N], among `bins` equal intervals of [0, 1].

    `closed="left"` means [lo, hi) with 1 in the last bin, `"right"` means (lo, hi] with 0 in the first. No
    extra bin holds a confidence of exactly 1, as in torchmetrics 1.9 (Lightning-AI/torchmetrics#3510).
    """
    # k / bins is the double nearest to the edge; linspace is not (its 0.6 is 0.6000000000000001).
    edges = np.arange(bins + 1) / bins
    side: Literal["left", "right"] = "right" if closed == "left" else "left"
    return np.clip(np.searchsorted(edges, confidence, side=side) - 1, 0, bins - 1)


def equal_width_sums(confidence: Floats, correct: Floats, bins: int, closed: Closed) -> BinSums:
    """Sums over equal intervals of confidence; takes what `top_label` returns, for any N, 0 included."""
    return _sums(confidence, correct, bin_index(confidence, bins, closed), bins)


def equal_mass_sums(confidence: Floats, correct: Floats, bins: int) -> BinSums:
    """Sums over groups of equal size by confidence, ties in sample order, larger groups first.

    With N < bins every sample is a group and the other groups stay empty. The groups depend on all samples at
    once: these sums do not merge over ranks as equal-width ones do.
    """
    group = np.empty(len(confidence), dtype=np.int64)
    for number, members in enumerate(np.array_split(np.argsort(confidence, kind="stable"), bins)):
        group[members] = number
    return _sums(confidence, correct, group, bins)


def _sums(confidence: Floats, correct: Floats, index: Ints, bins: int) -> BinSums:
    count = np.bincount(index, minlength=bins).astype(np.float64)
    confidence_sum = np.bincount(index, weights=confidence, minlength=bins).astype(np.float64, copy=False)
    correct_sum = np.bincount(index, weights=correct, minlength=bins).astype(np.float64, copy=False)
    return BinSums(count, confidence_sum, correct_sum)


def calibration_error(sums: BinSums) -> float:
    """Expected calibration error in [0, 1]: sum_b n_b/N |acc_b - conf_b| (Guo et al. 2017, Eq. 3)."""
    # n_b |acc_b - conf_b| is |correct_b - confidence_b|: nothing is divided by the count of an empty bin.
    return float(np.abs(sums.correct - sums.confidence).sum() / sums.count.sum())


def overconfidence_error(sums: BinSums, weighted: bool = True) -> float:
    """sum_b n_b/N conf_b max(conf_b - acc_b, 0) in [0, 1] (Thulasidasan et al. 2019).

    Without the factor conf_b if not `weighted`; these plain over- and underconfidence errors sum to the ECE.
    """
    return _one_sided(sums, sums.confidence - sums.correct, weighted)


def underconfidence_error(sums: BinSums, weighted: bool = True) -> float:
    """sum_b n_b/N conf_b max(acc_b - conf_b, 0) in [0, 1]; without the factor conf_b if not `weighted`."""
    return _one_sided(sums, sums.correct - sums.confidence, weighted)


def _one_sided(sums: BinSums, gap: Floats, weighted: bool) -> float:
    weight = sums.confidence / np.maximum(sums.count, 1) if weighted else np.ones_like(gap)
    return float((weight * np.maximum(gap, 0)).sum() / sums.count.sum())


def negative_log_likelihood(logits: Floats, labels: Ints) -> float:
    """Mean of -log p(label) in nats from checked logits; finite even where softmax rounds p(label) to 0."""
    largest = logits.max(axis=1)
    log_normalizer = largest + np.log(np.exp(logits - largest[:, None]).sum(axis=1))
    return float((log_normalizer - logits[np.arange(len(labels)), labels]).mean())


def brier_score(probabilities: Floats, labels: Ints) -> float:
    """Mean squared distance of the probabilities to the one-hot label, in [0, 2] (Brier 1950)."""
    of_label = probabilities[np.arange(len(labels)), labels]
    return float((np.square(probabilities).sum(axis=1) - 2 * of_label + 1).mean())


def calibrated_floor(logits: ArrayLike, draws: int = 200, seed: int = 0) -> dict[str, float]:
    """The calibration error reported for a perfectly calibrated model with these confidences.

    ECE is biased upwards: with N samples even a perfect model scores above 0. Correctness is drawn `draws`
    times as Bernoulli(confidence) and scored with the bins of `metrics`. `logits` is real [N, C]. Returns
    `ece_mean`, `ece_high`, `ece15_mean` and `ece15_high` in percent, `high` being the 97.5% quantile; an ECE
    below it is no evidence of miscalibration. ValueError as in `metrics`, or for draws < 1.
    """
    if draws < 1:
        raise ValueError(f"draws must be at least 1, not {draws}")
    shape = np.shape(logits)
    checked, labels = check_predictions(logits, np.zeros(shape[:1] or 1, dtype=np.int64))
    confidence = np.sort(top_label(softmax(checked), labels)[0])
    tens, fifteens = _drawn_errors(confidence, draws, np.random.default_rng(seed))
    return {
        "ece_mean": 100 * float(tens.mean()),
        "ece_high": 100 * float(np.quantile(tens, 0.975)),
        "ece15_mean": 100 * float(fifteens.mean()),
        "ece15_high": 100 * float(np.quantile(fifteens, 0.975)),
    }


def _drawn_errors(confidence: Floats, draws: int, generator: np.random.Generator) -> tuple[Floats, Floats]:
    """10-bin and 15-bin calibration error of each draw, float64 [draws] both; `confidence` is sorted."""
    tens, fifteens = np.empty(draws), np.empty(draws)
    rows = max(1, _DRAWN_AT_ONCE // len(confidence))
    for start in range(0, draws, rows):
        part = slice(start, min(start + rows, draws))
        excess = (generator.random((part.stop - start, len(confidence))) < confidence) - confidence
        tens[part] = _error_of_excess(excess, bin_index(confidence, 10, "left"))
        fifteens[part] = _error_of_excess(excess, bin_index(confidence, 15, "right"))
    return tens, fifteens


def _error_of_excess(excess: Floats, index: Ints) -> Floats:
    """Calibration error [draws] of correct - confidence [draws, N], samples sorted by their bin [N]."""
    first_of_bin = np.flatnonzero(np.diff(index, prepend=-1))  # filled bins only: reduceat has no empty slice
    return np.abs(np.add.reduceat(excess, first_of_bin, axis=1)).sum(axis=1) / excess.shape[1]


@dataclass(frozen=True)
class ReliabilityBins:
    """One reliability diagram, all float64 [bins]: fractions in [0, 1], 0 where `count` is 0.

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
    checked, targets = check_predictions(logits, labels)
    sums = equal_width_sums(*top_label(softmax(checked), targets), bins=bins, closed=closed)
    filled, edges = np.maximum(sums.count, 1), np.arange(bins + 1) / bins
    accuracy = sums.correct / filled
    low, high = (np.where(sums.count > 0, bound, 0.0) for bound in wilson_interval(accuracy, filled))
    return ReliabilityBins(edges[:-1], edges[1:], sums.count, accuracy, sums.confidence / filled, low, high)


def wilson_interval(fraction: Floats, count: Floats) -> tuple[Floats, Floats]:
    """95% score interval of a binomial proportion (Wilson 1927); float64 arrays of one shape, `count` >= 1.

    Unlike fraction +- 1.96 standard errors it keeps a width when all samples of a small bin are right.
    """
    scale = 1 + _Z95**2 / count
    centre = (fraction + _Z95**2 / (2 * count)) / scale
    half = _Z95 * np.sqrt(fraction * (1 - fraction) / count + _Z95**2 / (4 * count**2)) / scale
    return np.clip(centre - half, 0, 1), np.clip(centre + half, 0, 1)
