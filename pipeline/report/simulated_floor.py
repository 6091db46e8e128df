"""The simulated floor: what a perfectly calibrated model with the same confidences would score on as many samples.

A calibration error is biased upwards: with N samples even a perfect model scores above 0. Test sets are simulated whose
labels are drawn from the model's own probabilities; the floor of a score is the mean and the 97.5% quantile over them.
A score below that quantile is no evidence of miscalibration. (`pipeline.calibration.floor` has a formula for the mean
of the ECE alone, which needs no draws.)
"""

from dataclasses import dataclass

import numpy as np

from pipeline.calibration.sums import Floats, Ints, bin_index, classwise_sums
from pipeline.report.resampling import CLASSWISE_BINS, Draws, PreparedPredictions, top_label_draws


@dataclass(frozen=True)
class SimulatedFloor:
    """Of one score: `mean` and 97.5% quantile `high` over simulated test sets, in the score's unit."""

    mean: float
    high: float


def simulated_floor(of: PreparedPredictions, draws: int, seed: int = 0) -> dict[str, SimulatedFloor]:
    """The floor of every score. ValueError for draws < 1."""
    if draws < 1:
        raise ValueError(f"draws must be at least 1, not {draws}")
    return {
        name: SimulatedFloor(mean=float(drawn.mean()), high=float(np.quantile(drawn, 0.975)))
        for name, drawn in calibrated_draws(of, draws, seed).items()
    }


def calibrated_draws(of: PreparedPredictions, draws: int, seed: int = 0) -> Draws:
    """Every score of `draws` test sets whose labels are drawn from the model's own probabilities."""
    labels = drawn_labels(of, draws, np.random.default_rng(seed))
    right = (labels == of.probabilities.argmax(axis=1)).astype(np.float64)[:, of.ties.order]
    found = top_label_draws(of, draws, lambda rows: (np.ones(len(of)), right[rows]))
    of_label = np.take_along_axis(of.probabilities, labels.T, axis=1)  # [N, draws]
    squares = np.concatenate([np.square(of.probabilities[rows]).sum(axis=1) for rows in of.blocks()]).mean()
    # Rounding can draw a label whose probability is exactly 0, once in billions.
    nll = -np.log(np.maximum(of_label, np.finfo(np.float64).tiny)).mean(axis=0)
    proper = {"nll": nll, "brier": squares - 2 * of_label.mean(axis=0) + 1}
    return found | proper | {"cece": 100 * _classwise_errors(of, labels, of_label)}


def drawn_labels(of: PreparedPredictions, draws: int, generator: np.random.Generator) -> Ints:
    """`draws` labels of each sample from its probabilities, int64 [draws, N]."""
    labels = np.empty((draws, len(of)), dtype=np.int64)
    for rows in of.blocks():
        cumulative = np.cumsum(of.probabilities[rows], axis=1)
        cumulative /= cumulative[:, -1:]
        num, classes = cumulative.shape
        # One sorted list for all rows: row r's borders lie in (r, r + 1].
        cumulative += np.arange(num)[:, None]
        uniform = generator.random((num, draws)) + np.arange(num)[:, None]
        label = np.searchsorted(cumulative.ravel(), uniform, side="right") - classes * np.arange(num)[:, None]
        labels[:, rows] = np.minimum(label, classes - 1).T
    return labels


def _classwise_errors(of: PreparedPredictions, labels: Ints, of_label: Floats) -> Floats:
    """The classwise calibration error [draws] as a fraction; `of_label` [N, draws]: probabilities of `labels`."""
    classes, bins = of.probabilities.shape[1], CLASSWISE_BINS
    blocks = (classwise_sums(of.probabilities[rows], of.labels[rows], bins).confidence for rows in of.blocks())
    expected = sum(blocks, np.zeros((classes, bins))).ravel()
    error = np.empty(len(labels))
    for draw, drawn in enumerate(labels):
        cell = drawn * bins + bin_index(of_label[:, draw], bins, "right")
        error[draw] = np.abs(np.bincount(cell, minlength=classes * bins) - expected).sum()
    return error / len(of) / classes
