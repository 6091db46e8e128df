"""From which confidence on predictions can be accepted: thresholds that keep a promised precision.

A threshold that was searched on labelled images cannot be judged by a plain binomial bound on the same images: the
search has picked the lucky ones. Fixed-sequence testing can (Maurer, Hothorn and Lehmacher 1995; for machine learning
Angelopoulos et al. 2021, "Learn then Test"): hypotheses "precision at this threshold is at most p" are tested in an
order that the labels do not influence, each at level 1 - confidence, until the first that cannot be rejected. The
probability that any of the rejected ones is true is at most that level.

The order here is from the strictest threshold of GRID down. It starts where enough images are accepted for the test to
be able to reject, which is told from the confidences alone: given how many images reach each threshold, the numbers of
right ones are binomial, so that a start chosen by these counts is as good as one chosen in advance.
"""

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from pipeline.calibration.sums import Floats, Ints

LEVEL = 0.95  # confidence of every promise
# 1 - 10^(-k/10): evenly spaced where confidences crowd, down to .206; at last everything.
GRID: tuple[float, ...] = (*(1 - 10 ** (-k / 10) for k in range(60, 0, -1)), 0.0)
SPARE = 2  # errors that the first test tolerates, where there are images enough for that


@dataclass(frozen=True)
class Threshold:
    """The loosest threshold that keeps the promise, None where none does; `accepted` images reach it, `wrong` of them.

    Where none does, the counts are those of the first threshold tested.
    """

    threshold: float | None
    accepted: int
    wrong: int


def lower_bound(right: int, total: int, level: float = LEVEL) -> float:
    """One-sided Clopper-Pearson (1934) bound: with this confidence, at least such a share of all is right."""
    from scipy.stats import beta

    return float(beta.ppf(1 - level, right, total - right + 1)) if right else 0.0


@cache
def images_needed(precision: float, errors: int = 0, level: float = LEVEL) -> int:
    """The fewest accepted images, `errors` of them wrong, that show a precision above `precision`.

    Without errors ceil(log(1 - level) / log(precision)): 149 for 98%.
    """
    found = max(errors + 1, math.ceil(math.log(1 - level) / math.log(precision)))
    while lower_bound(found - errors, found, level) < precision:
        found += max(1, errors and found // 200)
    return found


def find_threshold(confidence: Floats, correct: Floats, precision: float, level: float = LEVEL) -> Threshold:
    """The loosest of GRID at which accepted predictions are right in more than `precision`, by confidence `level`.

    confidence, correct (0 or 1): [N], of labelled images that nothing was chosen by: neither weights nor temperature.
    """
    reach = np.array([(confidence >= threshold).sum() for threshold in GRID])
    right = np.array([correct[confidence >= threshold].sum() for threshold in GRID]).astype(np.int64)
    first = _first_test(reach, precision, level)
    last = first
    while last < len(GRID) and lower_bound(int(right[last]), int(reach[last]), level) >= precision:
        last += 1
    qualifies = last > first
    at = last - 1 if qualifies else min(first, len(GRID) - 1)
    return Threshold(GRID[at] if qualifies else None, int(reach[at]), int(reach[at] - right[at]))


def labels_needed(confidence: Floats, correct: Floats, precision: float, level: float = LEVEL) -> int | None:
    """How many labelled images would do where `find_threshold` finds nothing: about, by the most promising threshold.

    That is, if it went on accepting as large a share of the images with as many errors among them. None where every
    threshold has more errors than promised, so that no number of images would do.
    """
    found = [_needed(confidence >= threshold, correct, precision, level) for threshold in GRID]
    return min((each for each in found if each is not None), default=None)


def _needed(accepted: NDArray[np.bool_], correct: Floats, precision: float, level: float) -> int | None:
    share, wrong = accepted.mean(), 1 - correct[accepted].mean() if accepted.any() else 1.0
    if wrong >= 1 - precision:
        return None
    needed = images_needed(precision, 0, level)
    while lower_bound(needed - math.ceil(wrong * needed), needed, level) < precision:
        needed = math.ceil(1.02 * needed)
    return math.ceil(needed / share)


def _first_test(reach: Ints, precision: float, level: float) -> int:
    """Where on GRID testing begins; its length where too few images are accepted anywhere.

    Strict thresholds accept few images, and one error among those would end it all: the first test tolerates SPARE.
    """
    for errors in range(SPARE, -1, -1):
        enough = np.flatnonzero(reach >= images_needed(precision, errors, level))
        if len(enough):
            return int(enough[0])
    return len(reach)
