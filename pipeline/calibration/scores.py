"""Calibration of a classifier's confidences: every score of a test set, computed from its logits.

The `sums` of parts of a test set add up to the sums of the whole, so ranks that evaluated disjoint samples need not
share their logits. Everything is NumPy float64: a half- or single-precision softmax saturates at exactly 1 for
overconfident networks. The scores are defined in sums.py (fixed bins) and confidence_curve.py (no fixed bins);
report/glossary.py names and explains them.
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
REPORTED = ("error", "ece", "ece15", "ace", "oe", "ue", "nll", "brier")  # in every result.json
REPORTED_LATER = ("oe_plain", "ue_plain")  # in those of younger runs
TOP = 5  # classes of which one must be right for error_top5


@dataclass(frozen=True)
class Sums:
    """What the scores of a set of samples are computed from; `a + b` covers both sets.

    `equal`: sums over the equal bins of `ece`, [lo, hi); `fifteen`: over 15 bins (lo, hi]; `classwise` [C, 15]; `nll`
    and `brier`: summed over samples. Scores without fixed bins need the order of all confidences, so `confidence` and
    `correct` [n] are kept and joined: 16 bytes per sample, where its logits take 4 C.
    """

    equal: BinSums
    fifteen: BinSums
    classwise: BinSums
    nll: float
    brier: float
    confidence: Floats
    correct: Floats
    in_top: int

    def __add__(self, other: "Sums") -> "Sums":
        return Sums(
            equal=self.equal + other.equal,
            fifteen=self.fifteen + other.fifteen,
            classwise=self.classwise + other.classwise,
            nll=self.nll + other.nll,
            brier=self.brier + other.brier,
            confidence=np.concatenate([self.confidence, other.confidence]),
            correct=np.concatenate([self.correct, other.correct]),
            in_top=self.in_top + other.in_top,
        )


def sums(logits: ArrayLike, labels: ArrayLike, ece_bins: int = 10) -> Sums:
    """The sums of a test set or of a part of it: `logits` real [N, C], `labels` int [N] in [0, C).

    ValueError as in `check_predictions`.
    """
    checked, targets = check_predictions(logits, labels)
    return reduce(
        add,
        (_sums(probabilities, targets[rows], nll, ece_bins) for rows, probabilities, nll in parts(checked, targets)),
    )


def parts(logits: NDArray, labels: Ints) -> Iterator[tuple[slice, Floats, Floats]]:
    """Checked logits, a few rows at a time: (which rows, probabilities [n, C], negative log-likelihoods [n])."""
    for rows in slices(*logits.shape):
        yield rows, *probabilities_and_nll(logits[rows].astype(np.float64), labels[rows])


def slices(num: int, classes: int) -> Iterator[slice]:
    """Slices of the rows of [num, classes] logits, a few rows at a time."""
    rows = max(1, AT_ONCE // classes)
    return (slice(start, min(start + rows, num)) for start in range(0, num, rows))


def probabilities_and_nll(logits: Floats, labels: Ints) -> tuple[Floats, Floats]:
    """Probabilities [N, C] and -log p(label) [N] in nats of checked float64 logits, from one set of exponentials.

    The negative log-likelihood is finite even where the softmax rounds p(label) to 0.
    """
    shifted, exponentials, totals = _exponentials(logits)
    nll = np.log(totals[:, 0]) - shifted[np.arange(len(labels)), labels]
    exponentials /= totals
    return exponentials, nll


def _sums(probabilities: Floats, labels: Ints, nll: Floats, ece_bins: int) -> Sums:
    confidence, correct = top_label(probabilities, labels)
    return Sums(
        equal=equal_width_sums(confidence, correct, ece_bins, "left"),
        fifteen=equal_width_sums(confidence, correct, 15, "right"),
        classwise=classwise_sums(probabilities, labels, 15),
        nll=float(nll.sum()),
        brier=float(brier_score(probabilities, labels).sum()),
        confidence=confidence,
        correct=correct,
        in_top=int((_rank(probabilities, labels) < TOP).sum()),
    )


def scores(total: Sums) -> dict[str, float]:
    """Every score of a test set from its sums, in the units of `report.glossary.SCORES`."""
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
    """The scores that need only confidence and correctness, in percent; axes before the last are kept."""
    fractions = {
        "error": 1 - points.correct[..., -1] / points.count[..., -1],
        "ece": calibration_error(equal),
        "ece15": calibration_error(fifteen),
        "ace": calibration_error(equal_mass_bins(points, 15)),
        "oe": overconfidence_error(equal),
        "ue": underconfidence_error(equal),
        "oe_plain": overconfidence_error(fifteen, weighted=False),
        "ue_plain": underconfidence_error(fifteen, weighted=False),
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
    et al. 2017), `ace` (15 equal-mass bins), `oe` and `ue` (confidence-weighted, bins of `ece`), `oe_plain` and
    `ue_plain` (unweighted, bins of `ece15`, which is their sum), `confidence` (mean of the largest probability) and, of
    more than 5 classes, `error_top5`. In natural units: `nll` (nats), `brier` (summed over classes, mean over samples).
    `num_samples` is an int.
    ValueError as in `check_predictions`.
    """
    return reported(sums(logits, labels, ece_bins))


def reported(total: Sums) -> dict[str, float]:
    """The `metrics` of a test set from its sums."""
    values, num = scores(total), len(total.confidence)
    found = {name: values[name] for name in (*REPORTED, *REPORTED_LATER)}
    found["confidence"] = 100 * float(total.confidence.mean())
    if total.classwise.count.shape[0] > TOP:
        found["error_top5"] = 100 * (1 - total.in_top / num)
    return {**found, "num_samples": num}


def check_predictions(logits: ArrayLike, labels: ArrayLike) -> tuple[NDArray, Ints]:
    """Valid predictions: floating logits [N, C] (integers become float64) and int64 labels [N].

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


def log_softmax(logits: Floats) -> Floats:
    """Logarithms of the probabilities, float64 [N, C]; finite."""
    shifted, _, totals = _exponentials(logits)
    return shifted - np.log(totals)


def top_label(probabilities: Floats, labels: Ints) -> tuple[Floats, Floats]:
    """Confidence and correctness (0 or 1) of the first most probable class, float64 [N] both."""
    correct = probabilities.argmax(axis=1) == labels
    return probabilities.max(axis=1), correct.astype(np.float64)


def _rank(probabilities: Floats, labels: Ints) -> Ints:
    """Classes that come before the label [N]: more probable, or as probable and of a lower number."""
    of_label = probabilities[np.arange(len(labels)), labels][:, None]
    earlier = np.arange(probabilities.shape[1]) < labels[:, None]
    return ((probabilities > of_label) | ((probabilities == of_label) & earlier)).sum(axis=1)


def negative_log_likelihood(logits: Floats, labels: Ints) -> Floats:
    """-log p(label) [N] in nats of checked float64 logits; always finite."""
    return probabilities_and_nll(logits, labels)[1]


def _exponentials(logits: Floats) -> tuple[Floats, Floats, Floats]:
    """Logits minus the maximum of their row [N, C], the exponentials of these [N, C], and their row sums [N, 1]."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    exponentials = np.exp(shifted)
    return shifted, exponentials, exponentials.sum(axis=1, keepdims=True)


def brier_score(probabilities: Floats, labels: Ints) -> Floats:
    """Squared distance [N] of the probabilities to the one-hot label, in [0, 2] (Brier 1950)."""
    of_label = probabilities[np.arange(len(labels)), labels]
    return np.einsum("nc,nc->n", probabilities, probabilities) - 2 * of_label + 1
