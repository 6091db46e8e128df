"""The calibration error that finite data alone causes, in closed form; report/simulated_floor.py draws it instead."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.calibration.scores import slices, softmax
from pipeline.calibration.sums import bin_index


def expected_ece_floor(logits: NDArray[np.floating[Any]], bins: int = 10) -> float:
    """The ECE in percent to expect of a perfectly calibrated model with these confidences, on as many samples.

    ``logits`` [N, C]; bins are [lo, hi), the last closed, as those of ``ece``. ECE = sum_b |S_b| / N, where S_b sums
    correct - confidence over bin b. If sample i is right with probability p_i, its confidence, then S_b has mean 0 and
    variance sum p_i (1 - p_i), and is about normal. The absolute value of a centred normal variable has the mean
    sqrt(2/pi) standard deviations, so the floor is sum_b sqrt(2/pi sum_{i in b} p_i (1 - p_i)) / N.
    """
    parts = (softmax(logits[part].astype(np.float64)) for part in slices(*logits.shape))
    confidence = np.concatenate([part.max(axis=1) for part in parts])
    index = bin_index(confidence, bins, "left")
    variance = np.bincount(index, confidence * (1 - confidence), bins)
    return 100 * float(np.sqrt(2 / np.pi * variance).sum()) / len(confidence)
