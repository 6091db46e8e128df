"""The mean of several predictions, as one prediction: of an ensemble's members, or of passes with dropout."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike

from pipeline.calibration.scores import log_softmax
from pipeline.calibration.sums import Floats


def mean_prediction(members: Iterable[ArrayLike]) -> Floats:
    """Logits, float64 [N, C], whose softmax is the mean of the members' softmax; members are logits [N, C].

    They are the logarithm of that mean, added up as logarithms: finite where a probability rounds to 0. Only two
    members are in memory at a time. There is at least one.
    """
    each = (log_softmax(np.asarray(logits, dtype=np.float64)) for logits in members)
    total, number = next(each), 1
    for log_p in each:
        total, number = np.logaddexp(total, log_p), number + 1
    return total - np.log(number)
