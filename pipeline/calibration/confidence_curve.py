"""Scores of the sorted confidences: equal-mass bins, the KS error, and the area under the risk-coverage curve.

A `Curve` holds running sums over the samples sorted by confidence, with one point per distinct confidence: ties are
never ordered, so no score depends on the order of the test set. Arrays may have leading batch axes, for bootstrap
draws (different counts) or simulated labels (different correctness).
"""

from dataclasses import dataclass

import numpy as np

from pipeline.calibration.sums import BinSums, Closed, Floats, Ints, bin_index


@dataclass(frozen=True)
class Ties:
    """Groups of equal confidence: `order` [N] sorts the samples, `ends` [G + 1] runs from 0 to N, `values` [G]."""

    order: Ints
    ends: Ints
    values: Floats


@dataclass(frozen=True)
class Curve:
    """Running sums, float64 [..., G + 1] from 0 to the total: of samples, of confidences, of correct predictions."""

    values: Floats  # [G] distinct confidences, ascending
    count: Floats
    confidence: Floats
    correct: Floats


def ties(confidence: Floats) -> Ties:
    """The groups of equal values of `confidence` [N]."""
    order = np.argsort(confidence, kind="stable")
    ordered = confidence[order]
    starts = np.flatnonzero(np.diff(ordered, prepend=-np.inf))
    return Ties(order, np.append(starts, len(ordered)), ordered[starts])


def curve(confidence: Floats, correct: Floats) -> Curve:
    """The curve of one test set: `confidence` and `correct` (0 or 1) [N]."""
    groups = ties(confidence)
    return curve_of(groups, np.ones(len(confidence)), correct[groups.order])


def curve_of(groups: Ties, weight: Floats, correct: Floats) -> Curve:
    """The curve of samples in the order of `groups`, each counted `weight` times; both [..., N] or broadcastable."""
    return Curve(
        groups.values,
        _running(groups, weight),
        _running(groups, weight * np.repeat(groups.values, np.diff(groups.ends))),
        _running(groups, weight * correct),
    )


def _running(groups: Ties, values: Floats) -> Floats:
    sums = np.zeros((*values.shape[:-1], values.shape[-1] + 1))
    np.cumsum(values, axis=-1, out=sums[..., 1:])
    return sums if len(groups.ends) == sums.shape[-1] else sums[..., groups.ends]


def equal_width_bins(points: Curve, bins: int, closed: Closed) -> BinSums:
    """The sums [..., bins] of `equal_width_sums`, read off the curve."""
    border = np.searchsorted(bin_index(points.values, bins, closed), np.arange(bins + 1))
    return BinSums(*(np.diff(sums[..., border]) for sums in (points.count, points.confidence, points.correct)))


def equal_mass_bins(points: Curve, bins: int) -> BinSums:
    """Sums [..., bins] over bins of equally many samples by confidence, larger bins first (Nguyen and O'Connor 2015).

    A border that falls among ties divides them in proportion. With N < bins every sample has its own bin and the other
    bins stay empty. The borders depend on all samples at once: unlike equal-width sums, these cannot be merged.
    """
    shape = np.broadcast_shapes(points.count.shape, points.confidence.shape, points.correct.shape)
    rows = [
        np.broadcast_to(sums, shape).reshape(-1, shape[-1])
        for sums in (points.count, points.confidence, points.correct)
    ]
    num = round(float(rows[0][0, -1]))
    small, larger = divmod(num, bins)
    border = np.concatenate([[0], np.cumsum(np.where(np.arange(bins) < larger, small + 1, small))])
    at = [[np.interp(border, *pair) for pair in zip(rows[0], row, strict=True)] for row in rows[1:]]
    confidence, correct = (np.diff(np.array(found)).reshape(*shape[:-1], bins) for found in at)
    return BinSums(np.broadcast_to(np.diff(border).astype(np.float64), confidence.shape), confidence, correct)


def ks_error(points: Curve) -> Floats:
    """max over thresholds t of |P(right, conf <= t) - E[conf, conf <= t]| in [0, 1] (Gupta et al. 2021); no bins."""
    return np.abs(points.correct - points.confidence).max(axis=-1) / points.count[..., -1]


def selective_accuracy(points: Curve, coverage: Floats) -> Floats:
    """Accuracy in [0, 1] among the most confident share `coverage` [K] in (0, 1] (Geifman and El-Yaniv 2017).

    Of one test set. Ties count as if they were in random order.
    """
    accepted, right = (sums[-1] - sums[::-1] for sums in (points.count, points.correct))
    wanted = coverage * points.count[-1]
    return np.asarray(np.interp(wanted, accepted, right) / wanted)


def aurc(points: Curve) -> Floats:
    """Mean over coverages 1/N, 2/N, ..., 1 of the error among the most confident (Geifman and El-Yaniv 2017).

    In [0, 1]; lower is better. Ties count as if they were in random order. Counts must be whole numbers.
    """
    count, wrong = points.count, points.count - points.correct
    size, errors = np.diff(count), np.diff(wrong)
    rate = np.divide(errors, size, out=np.zeros(np.broadcast_shapes(errors.shape, size.shape)), where=size > 0)
    above = count[..., -1:] - count  # samples of higher confidence; whole numbers, so exact
    harmonic = np.concatenate([[0.0], np.cumsum(1 / np.arange(1, int(above.max()) + 1))])[above.astype(np.int64)]
    # The sum over j = 1..size of (wrong_above + j rate) / (above + j), in closed form.
    excess = wrong[..., -1:] - wrong[..., 1:] - rate * above[..., 1:]
    return (errors + excess * (harmonic[..., :-1] - harmonic[..., 1:])).sum(axis=-1) / count[..., -1]
