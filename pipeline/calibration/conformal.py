"""Prediction sets that hold the right class with a wanted probability: split conformal prediction.

A score says how badly a class fits an image. Its quantile on n labelled images that nothing was fitted on, of rank
ceil((n + 1) coverage), bounds the score of the right class of a new image of the same kind with probability `coverage`
at least, and at most 1/(n + 1) above (Vovk et al. 2005; Lei et al. 2018). LAC: 1 - p(class), the smallest sets on
average (Sadinle et al. 2019). APS: the probability of all classes up to this one, the last of them counted to a random
share (Romano et al. 2020), so that hard images get larger sets.

A set may be empty: of LAC, where no class is likely enough; of APS, where the random share has it so.
"""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from pipeline.calibration.sums import Floats, Ints


def lac_scores(probabilities: Floats, share: Floats) -> Floats:
    """1 - p of every class, [N, C] of probabilities [N, C]. `share`: unused."""
    return 1 - probabilities


def aps_scores(probabilities: Floats, share: Floats) -> Floats:
    """Of every class: probability of all more probable classes, plus `share` [N] in [0, 1) of its own; [N, C].

    Among classes of equal probability the first comes first.
    """
    order = np.argsort(-probabilities, axis=1, kind="stable")
    ordered = np.take_along_axis(probabilities, order, axis=1)
    before = np.cumsum(ordered, axis=1) - ordered
    scores = np.empty_like(probabilities)
    np.put_along_axis(scores, order, before + share[:, None] * ordered, axis=1)
    return scores


METHODS: dict[str, Callable[[Floats, Floats], Floats]] = {"lac": lac_scores, "aps": aps_scores}


def quantile(scores: Floats, coverage: float) -> float:
    """The score of rank ceil((n + 1) coverage) among `scores` [n] of right classes; infinite where n is too small."""
    rank = math.ceil((len(scores) + 1) * coverage - 1e-9)  # (9 + 1) x .7 is 7.000000000000001
    return float(np.partition(scores, rank - 1)[rank - 1]) if rank <= len(scores) else math.inf


def right_scores(scores: Floats, labels: Ints) -> Floats:
    """[N] of the right classes, `labels` [N], of scores [N, C]."""
    return scores[np.arange(len(labels)), labels]


def prediction_sets(scores: Floats, bound: float) -> NDArray[np.bool_]:
    """Which classes are in the set of each image: [N, C] of scores [N, C], `bound` their `quantile`."""
    return scores <= bound
