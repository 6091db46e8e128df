"""Calibration of a classifier's confidences: every score of a test set, from its logits.

`sums` of a part of the test set add up to the sums of the whole, so ranks that evaluated disjoint samples need not
share their logits. Everything is NumPy float64: a half or float32 softmax saturates at exactly 1 for over-confident
networks. The definitions are in calibration_sums.py (bins) and confidence_curve.py (no fixed bins); scores.py names
and explains them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce
from operator import add

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pipeline.calibration.confidence_curve import Curve, aurc, curve, equal_mass_bins, ks_error
from pipeline.calibration.sums import (
    BinSums,
    Closed,
    Floats,
    Ints,
    calibration_error,
    classwise_sums,
    equal_width_sums,
    maximum_error,
    overconfidence_error,
    rms_error,
    underconfidence_error,
)

AT_ONCE = 4_000_000  # probabilities in memory at a time: 32 MB of float64
REPORTED = ("error", "ece", "ece15", "ace", "oe", "ue", "nll", "brier")

_Z95 = 1.959963984540054  # 97.5% quantile of the standard normal distribution


@dataclass(frozen=True)
class Sums:
    """What the scores of some samples are computed from; `a + b` is that of both.

    `equal`: in the equal bins of `ece`, [lo, hi); `fifteen`: in 15 bins (lo, hi]; `classwise` [C, 15]; `nll` and
    `brier`: summed over samples. The scores without fixed bins need the order of all confidences, so `confidence` and
    `correct` [n] are kept and joined: 16 bytes a sample where its logits take 4 C.
    """

    equal: BinSums
    fifteen: BinSums
    classwise: BinSums
    nll: float
    brier: float
    confidence: Floats
    correct: Floats

    def __add__(self, other: "Sums") -> "Sums":
        return Sums(
            self.equal + other.equal,
            self.fifteen + other.fifteen,
            self.classwise + other.classwise,
            self.nll + other.nll,
            self.brier + other.brier,
            np.concatenate([self.confidence, other.confidence]),
            np.concatenate([self.correct, other.correct]),
        )


def sums(logits: ArrayLike, labels: ArrayLike, ece_bins: int = 10) -> Sums:
    """The sums of a part of a test set, or of all: `logits` real [N, C], `labels` int [N] in [0, C).

    ValueError as in `check_predictions`.
    """
    checked, targets = check_predictions(logits, labels)
    return reduce(
        add,
        (_sums(probabilities, targets[rows], nll, ece_bins) for rows, probabilities, nll in parts(checked, targets)),
    )


def parts(logits: NDArray, labels: Ints) -> Iterator[tuple[slice, Floats, Floats]]:
    """Rows of checked logits, few at a time: (which rows, probabilities [n, C], negative log-likelihoods [n])."""
    for part in slices(*logits.shape):
        yield part, *predicted(logits[part].astype(np.float64), labels[part])


def slices(num: int, classes: int) -> Iterator[slice]:
    """Rows of [num, classes] logits, few at a time."""
    rows = max(1, AT_ONCE // classes)
    return (slice(start, min(start + rows, num)) for start in range(0, num, rows))


def predicted(logits: Floats, labels: Ints) -> tuple[Floats, Floats]:
    """Probabilities [N, C] and -log p(label) [N] in nats of checked float64 logits, from one set of exponentials.

    The latter is finite even where softmax rounds p(label) to 0.
    """
    shifted, exponentials, totals = _exponentials(logits)
    nll = np.log(totals[:, 0]) - shifted[np.arange(len(labels)), labels]
    exponentials /= totals
    return exponentials, nll


def _sums(probabilities: Floats, labels: Ints, nll: Floats, ece_bins: int) -> Sums:
    confidence, correct = top_label(probabilities, labels)
    return Sums(
        equal_width_sums(confidence, correct, ece_bins, "left"),
        equal_width_sums(confidence, correct, 15, "right"),
        classwise_sums(probabilities, labels, 15),
        float(nll.sum()),
        float(brier_score(probabilities, labels).sum()),
        confidence,
        correct,
    )


def scores(total: Sums) -> dict[str, float]:
    """Every score of the sums of a test set, in the order and the units of `scores.SCORES`."""
    num = len(total.confidence)
    points = curve(total.confidence, total.correct)
    values = top_label_scores(total.equal, total.fifteen, points)
    cece = 100 * float(calibration_error(total.classwise).mean())
    return {name: float(value) for name, value in values.items()} | {
        "nll": total.nll / num,
        "brier": total.brier / num,
        "cece": cece,
    }


def top_label_scores(equal: BinSums, fifteen: BinSums, points: Curve) -> dict[str, Floats]:
    """The scores of confidence and correctness alone, in percent; arrays keep the axes before the last."""
    fractions = {
        "error": 1 - points.correct[..., -1] / points.count[..., -1],
        "ece": calibration_error(equal),
        "ece15": calibration_error(fifteen),
        "ace": calibration_error(equal_mass_bins(points, 15)),
        "oe": overconfidence_error(equal),
        "ue": underconfidence_error(equal),
        "oe_plain": overconfidence_error(equal, weighted=False),
        "ue_plain": underconfidence_error(equal, weighted=False),
        "mce": maximum_error(fifteen),
        "rmsce": rms_error(fifteen),
        "ks": ks_error(points),
        "aurc": aurc(points),
    }
    return {name: 100 * value for name, value in fractions.items()}


def metrics(logits: ArrayLike, labels: ArrayLike, ece_bins: int = 10) -> dict[str, float]:
    """Error and calibration of a whole test set, as `result.json` stores them.

    `logits` real [N, C], `labels` int [N] in [0, C). In percent: `error` (top-1), `ece` (`ece_bins` equal bins
    [lo, hi), last one closed; 10 as the CalibrateMix release reports it), `ece15` (15 equal bins (lo, hi], Guo
    et al. 2017), `ace` (15 equal-mass bins), `oe` and `ue` (confidence-weighted, bins of `ece`). In natural
    units: `nll` (nats), `brier` (summed over classes, mean over samples). `num_samples` is an int.
    ValueError as in `check_predictions`.
    """
    total = sums(logits, labels, ece_bins)
    values = scores(total)
    return {**{name: values[name] for name in REPORTED}, "num_samples": len(total.confidence)}


def check_predictions(logits: ArrayLike, labels: ArrayLike) -> tuple[NDArray, Ints]:
    """The same as floating [N, C], in the type they came in, and int64 [N].

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
    return logits if logits.dtype.kind == "f" else logits.astype(np.float64), labels.astype(np.int64)


def softmax(logits: Floats) -> Floats:
    """Probabilities, float64 [N, C]; none exceeds 1, as the largest exponential of a row is exactly 1."""
    _, exponentials, totals = _exponentials(logits)
    exponentials /= totals
    return exponentials


def top_label(probabilities: Floats, labels: Ints) -> tuple[Floats, Floats]:
    """Confidence and correctness (0 or 1) of the first most probable class, float64 [N] both."""
    correct = probabilities.argmax(axis=1) == labels
    return probabilities.max(axis=1), correct.astype(np.float64)


def negative_log_likelihood(logits: Floats, labels: Ints) -> Floats:
    """-log p(label) [N] of `predicted`."""
    return predicted(logits, labels)[1]


def _exponentials(logits: Floats) -> tuple[Floats, Floats, Floats]:
    """Logits less the largest of their row [N, C], their exponentials [N, C], and the sums of these [N, 1]."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    exponentials = np.exp(shifted)
    return shifted, exponentials, exponentials.sum(axis=1, keepdims=True)


def brier_score(probabilities: Floats, labels: Ints) -> Floats:
    """Squared distance [N] of the probabilities to the one-hot label, in [0, 2] (Brier 1950)."""
    of_label = probabilities[np.arange(len(labels)), labels]
    return np.einsum("nc,nc->n", probabilities, probabilities) - 2 * of_label + 1


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
    total = sums(logits, labels)
    binned = equal_width_sums(total.confidence, total.correct, bins, closed)
    filled, edges = np.maximum(binned.count, 1), np.arange(bins + 1) / bins
    accuracy = binned.correct / filled
    low, high = (np.where(binned.count > 0, bound, 0.0) for bound in wilson_interval(accuracy, filled))
    return ReliabilityBins(edges[:-1], edges[1:], binned.count, accuracy, binned.confidence / filled, low, high)


def wilson_interval(fraction: Floats, count: Floats) -> tuple[Floats, Floats]:
    """95% score interval of a binomial proportion (Wilson 1927); float64 arrays of one shape, `count` >= 1.

    Unlike fraction +- 1.96 standard errors it keeps a width when all samples of a small bin are right.
    """
    scale = 1 + _Z95**2 / count
    centre = (fraction + _Z95**2 / (2 * count)) / scale
    half = _Z95 * np.sqrt(fraction * (1 - fraction) / count + _Z95**2 / (4 * count**2)) / scale
    return np.clip(centre - half, 0, 1), np.clip(centre + half, 0, 1)
