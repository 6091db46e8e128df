"""How certain a score is: bootstrap draws of every score, and the intervals that follow from them.

A draw is a test set of the same size, drawn from the samples with replacement; many are scored at once, each sample
counted as often as it was drawn. The seed alone decides what is drawn, so two runs on the same test set get the same
draws, and the differences between their draws are paired.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pipeline.calibration.confidence_curve import Ties, curve_of, equal_width_bins, ties
from pipeline.calibration.scores import brier_score, check_predictions, parts, top_label, top_label_scores
from pipeline.calibration.sums import Floats, Ints, bin_index

DRAWN_AT_ONCE = 2_000_000  # samples of all draws in memory at a time: 16 MB per float64 array
CLASSWISE_BINS = 15
WORKERS = 2  # threads; each holds about 150 MB
Draws = dict[str, Floats]  # draws of each score, float64 [draws], in its own unit


class PreparedPredictions:
    """Checked predictions with what every draw needs: probabilities [N, C] and the order of the confidences.

    ValueError as in `calibration.scores.check_predictions`.
    """

    def __init__(self, logits: ArrayLike, labels: ArrayLike, ece_bins: int = 10) -> None:
        checked, self.labels = check_predictions(logits, labels)
        self.ece_bins = ece_bins
        self.probabilities: Floats = np.empty(checked.shape)
        self.nll = np.empty(len(checked))
        for rows, probabilities, nll in parts(checked, self.labels):
            self.probabilities[rows], self.nll[rows] = probabilities, nll
        self.confidence, self.correct = top_label(self.probabilities, self.labels)
        self.ties: Ties = ties(self.confidence)

    def __len__(self) -> int:
        return len(self.labels)

    def blocks(self) -> Iterator[slice]:
        """Slices of the rows, small enough to hold a second copy of their probabilities."""
        rows = max(1, 2 * DRAWN_AT_ONCE // self.probabilities.shape[1])
        return (slice(start, min(start + rows, len(self))) for start in range(0, len(self), rows))


def bootstrap(of: PreparedPredictions, draws: int, seed: int = 0) -> Draws:
    """Every score of `draws` test sets drawn with replacement from this one."""
    weights = bootstrap_weights(len(of), draws, seed)
    order = of.ties.order
    found = top_label_draws(of, draws, lambda rows: (weights[rows][:, order].astype(np.float64), of.correct[order]))
    brier = np.concatenate([brier_score(of.probabilities[rows], of.labels[rows]) for rows in of.blocks()])
    means = _weighted_sums(weights, np.stack([of.nll, brier], axis=1)) / len(of)
    classwise = classwise_errors(of, weights)
    return found | {"nll": means[:, 0], "brier": means[:, 1], "cece": 100 * classwise}


def bootstrap_weights(num: int, draws: int, seed: int) -> NDArray[np.uint8]:
    """How often each of `num` samples is drawn, [draws, num]; rows sum to `num`."""
    generator = np.random.default_rng(seed)
    weights = np.empty((draws, num), dtype=np.uint8)
    for row in weights:
        row[:] = np.bincount(generator.integers(0, num, num), minlength=num)
    return weights


def classwise_errors(of: PreparedPredictions, weights: NDArray[np.uint8]) -> Floats:
    """The classwise calibration error [draws] of weighted samples, as a fraction.

    Nearly all of the N x C probabilities lie in the first bin. The few above it make a sparse matrix; the first bin
    gets what a dense product over all probabilities leaves.
    """
    from scipy.sparse import csr_array  # not at the top: the simulated floor, hence compare.py, needs NumPy alone

    residual, cell, sample, of_class = _residuals_above_first_bin(of)
    beyond = csr_array((residual, (cell, sample)), shape=(len(of_class), len(of)))
    classes = of.probabilities.shape[1]
    first = np.zeros((len(weights), classes))
    for rows in of.blocks():
        dense = -of.probabilities[rows]
        dense[np.arange(len(dense)), of.labels[rows]] += 1
        first += weights[:, rows].astype(np.float64) @ dense
    cells = np.arange(len(of_class))
    to_class = csr_array((np.ones(len(cells)), (of_class, cells)), shape=(classes, len(cells)))
    error = np.empty(len(weights))
    for rows in _rows_of_draws(len(weights), len(of)):
        rest = beyond @ weights[rows].T.astype(np.float64)  # [filled cells, draws]
        error[rows] = np.abs(rest).sum(axis=0) + np.abs(first[rows].T - to_class @ rest).sum(axis=0)
    return error / len(of) / classes


def _residuals_above_first_bin(of: PreparedPredictions) -> tuple[Floats, Ints, Ints, Ints]:
    """label - probability of every probability above the first bin.

    (these residuals [n], the (class, bin) cell of each [n], counting filled cells alone, the sample of each [n], and
    the class of each filled cell).
    """
    entries = [(rows.start, *np.nonzero(of.probabilities[rows] > 1 / CLASSWISE_BINS)) for rows in of.blocks()]
    sample = np.concatenate([start + row for start, row, _ in entries])
    column = np.concatenate([classes for *_, classes in entries])
    values = of.probabilities[sample, column]
    filled, cell = np.unique(column * CLASSWISE_BINS + bin_index(values, CLASSWISE_BINS, "right"), return_inverse=True)
    return (of.labels[sample] == column) - values, cell, sample, filled // CLASSWISE_BINS


def interval(value: float, drawn: Floats, minimum: float, maximum: float) -> tuple[float, float]:
    """95% basic bootstrap interval (Davison and Hinkley 1997, 5.2): the draws' quantiles, mirrored at the value.

    The calibration error of N samples is biased upwards, and that of a bootstrap draw a second time: plain quantiles
    can lie above the value itself. Mirroring removes the bias. Both ends are clipped to `minimum` and `maximum`.
    """
    low, high = 2 * value - np.quantile(drawn, (0.975, 0.025))
    return float(np.clip(low, minimum, maximum)), float(np.clip(high, minimum, maximum))


def top_label_draws(of: PreparedPredictions, draws: int, drawn: Callable[[slice], tuple[Floats, Floats]]) -> Draws:
    """Draws of the top-label scores; `drawn` gives weights and correctness of some draws, samples by confidence."""

    def score(rows: slice) -> Draws:
        points = curve_of(of.ties, *drawn(rows))
        equal, fifteen = equal_width_bins(points, of.ece_bins, "left"), equal_width_bins(points, 15, "right")
        return top_label_scores(equal, fifteen, points)

    with ThreadPoolExecutor(WORKERS) as pool:  # NumPy releases the interpreter lock in all of this
        blocks = list(pool.map(score, _rows_of_draws(draws, len(of))))
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}


def _rows_of_draws(draws: int, num: int) -> list[slice]:
    rows = max(1, DRAWN_AT_ONCE // num)
    return [slice(start, min(start + rows, draws)) for start in range(0, draws, rows)]


def _weighted_sums(weights: NDArray[np.uint8], values: Floats) -> Floats:
    """[draws, K] sums of `values` [N, K], each sample counted as often as it was drawn."""
    blocks = _rows_of_draws(len(weights), weights.shape[1])
    return np.concatenate([weights[rows].astype(np.float64) @ values for rows in blocks])
