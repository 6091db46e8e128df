"""Calibration by how near a test image lies to training images: PIECE (Xiong et al. 2023, arXiv 2306.04590).

The proximity of an image is D = exp(-mean distance to its K = 10 nearest training images), distances between features.
PIECE is the ECE over bins of both, 15 equal ones of confidence and 10 of equally many images by proximity,

    PIECE = sum_mh n_mh / N |acc_mh - conf_mh|,

so it is never below the ECE over the same bins of confidence. The formula is followed, with neighbours among training
images and features of unit length, which it does not ask for and the released code has. (That code takes neighbours
among validation images, divides test features by the lengths of other images' features, and averages exp(-d^2).)
"""

import numpy as np
from numpy.typing import NDArray

from pipeline.calibration.sums import BinSums, Floats, Ints, bin_index, calibration_error

NEIGHBOURS = 10
CONFIDENCE_BINS, PROXIMITY_BINS = 15, 10


def proximity(features: NDArray[np.floating], training: NDArray[np.floating]) -> Floats:
    """D in (0, 1], float64 [N], of `features` [N, D]; neighbours are the rows of `training` [M, D], all if M < 10."""
    from sklearn.neighbors import NearestNeighbors

    nearest = NearestNeighbors(n_neighbors=min(NEIGHBOURS, len(training)), algorithm="brute").fit(_unit(training))
    distances, _ = nearest.kneighbors(_unit(features))
    return np.exp(-distances.mean(axis=1))


def piece(confidence: Floats, correct: Floats, near: Floats) -> float:
    """PIECE in [0, 1] of `confidence`, `correct` (0 or 1) and proximities `near`, all [N].

    Images of equal proximity share a bin, so nothing depends on the order of the test set.
    """
    cell = _proximity_bin(near) * CONFIDENCE_BINS + bin_index(confidence, CONFIDENCE_BINS, "right")
    sums = (
        np.bincount(cell, weights=weights, minlength=CONFIDENCE_BINS * PROXIMITY_BINS).astype(np.float64)
        for weights in (None, confidence, correct)
    )
    return float(calibration_error(BinSums(*sums)))


def _proximity_bin(near: Floats) -> Ints:
    """[N]: between which deciles, upper ones not included, each lies."""
    edges = np.quantile(near, np.arange(1, PROXIMITY_BINS) / PROXIMITY_BINS)
    return np.searchsorted(edges, near, side="right")


def _unit(features: NDArray[np.floating]) -> Floats:
    """Rows of length 1, float64; a row of zeros stays."""
    rows = features.astype(np.float64)
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(length > 0, length, 1)
