"""How certain a score is: bootstrap draws, and the floor that a perfectly calibrated model would score.

Both score many test sets at once. A bootstrap draw counts each sample as often as it was drawn; a simulated test set
draws its labels from the model's own probabilities. The seed alone decides what is drawn, so two runs on one test set
are drawn alike, and differences of their draws are paired.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array

from pipeline.calibration.confidence_curve import Ties, curve_of, equal_width_bins, ties
from pipeline.calibration.scores import brier_score, check_predictions, parts, top_label, top_label_scores
from pipeline.calibration.sums import Floats, Ints, bin_index, classwise_sums

DRAWN_AT_ONCE = 2_000_000  # samples of all draws in memory at a time: 16 MB of float64 an array
CLASSWISE_BINS = 15
WORKERS = 2  # threads; each holds some 150 MB
Draws = dict[str, Floats]  # of each score, float64 [draws], in its own unit


class Predictions:
    """Checked predictions with what every draw needs: probabilities [N, C] and the order of the confidences."""

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
        """Rows whose probabilities fit into memory once more."""
        rows = max(1, 2 * DRAWN_AT_ONCE // self.probabilities.shape[1])
        return (slice(start, min(start + rows, len(self))) for start in range(0, len(self), rows))


def bootstrap(of: Predictions, draws: int, seed: int = 0) -> Draws:
    """Every score of `draws` test sets drawn with replacement from this one."""
    weights = bootstrap_weights(len(of), draws, seed)
    order = of.ties.order
    found = _top_label(of, draws, lambda rows: (weights[rows][:, order].astype(np.float64), of.correct[order]))
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


def classwise_errors(of: Predictions, weights: NDArray[np.uint8]) -> Floats:
    """The classwise calibration error [draws] of weighted samples, as a fraction.

    Nearly all of N x C probabilities lie in the first bin. Those beyond it are few, a sparse matrix; the first bin is
    what a dense product over all of them leaves.
    """
    beyond, column = _residuals_beyond_first_bin(of)
    classes = of.probabilities.shape[1]
    first = np.zeros((len(weights), classes))
    for rows in of.blocks():
        residual = -of.probabilities[rows]
        residual[np.arange(len(residual)), of.labels[rows]] += 1
        first += weights[:, rows].astype(np.float64) @ residual
    to_class = csr_array((np.ones(len(column)), (column, np.arange(len(column)))), shape=(classes, len(column)))
    error = np.empty(len(weights))
    for rows in _rows_of_draws(len(weights), len(of)):
        rest = beyond @ weights[rows].T.astype(np.float64)  # [filled cells, draws]
        error[rows] = np.abs(rest).sum(axis=0) + np.abs(first[rows].T - to_class @ rest).sum(axis=0)
    return error / len(of) / classes


def _residuals_beyond_first_bin(of: Predictions) -> tuple[csr_array, Ints]:
    """(label - probability) of each sample in each filled (class, bin) but first bins, and the class of each."""
    entries = [(rows.start, *np.nonzero(of.probabilities[rows] > 1 / CLASSWISE_BINS)) for rows in of.blocks()]
    sample = np.concatenate([start + row for start, row, _ in entries])
    column = np.concatenate([classes for *_, classes in entries])
    values = of.probabilities[sample, column]
    cell, where = np.unique(column * CLASSWISE_BINS + bin_index(values, CLASSWISE_BINS, "right"), return_inverse=True)
    residual = (of.labels[sample] == column) - values
    return csr_array((residual, (where, sample)), shape=(len(cell), len(of))), cell // CLASSWISE_BINS


def interval(value: float, drawn: Floats, least: float, most: float) -> tuple[float, float]:
    """95% basic bootstrap interval (Davison and Hinkley 1997, 5.2): the draws' quantiles, mirrored at the value.

    A calibration error of N samples is biased upwards, and that of a bootstrap draw once more: plain quantiles can
    lie above the value itself. Mirroring takes the bias off. No end lies outside `least` to `most`.
    """
    low, high = 2 * value - np.quantile(drawn, (0.975, 0.025))
    return float(np.clip(low, least, most)), float(np.clip(high, least, most))


def floor(of: Predictions, draws: int, seed: int = 0) -> Draws:
    """Every score of `draws` test sets whose labels follow the model's own probabilities.

    ECE is biased upwards: with N samples even a perfect model scores above 0. A score below the 97.5% quantile of
    these is no evidence of miscalibration.
    """
    labels = drawn_labels(of, draws, np.random.default_rng(seed))
    right = (labels == of.probabilities.argmax(axis=1)).astype(np.float64)[:, of.ties.order]
    found = _top_label(of, draws, lambda rows: (np.ones(len(of)), right[rows]))
    of_label = np.take_along_axis(of.probabilities, labels.T, axis=1)  # [N, draws]
    squares = np.concatenate([np.square(of.probabilities[rows]).sum(axis=1) for rows in of.blocks()]).mean()
    # Rounding can draw a label whose probability is exactly 0, once in billions.
    nll = -np.log(np.maximum(of_label, np.finfo(np.float64).tiny)).mean(axis=0)
    proper = {"nll": nll, "brier": squares - 2 * of_label.mean(axis=0) + 1}
    return found | proper | {"cece": 100 * _classwise_floor(of, labels, of_label)}


def drawn_labels(of: Predictions, draws: int, generator: np.random.Generator) -> Ints:
    """`draws` labels of each sample from its probabilities, int64 [draws, N]."""
    labels = np.empty((draws, len(of)), dtype=np.int64)
    for rows in of.blocks():
        cumulative = np.cumsum(of.probabilities[rows], axis=1)
        cumulative /= cumulative[:, -1:]
        num, classes = cumulative.shape
        # One sorted list for all rows: row r's borders lie in (r, r + 1].
        cumulative += np.arange(num)[:, None]
        uniform = generator.random((num, draws)) + np.arange(num)[:, None]
        place = np.searchsorted(cumulative.ravel(), uniform, side="right") - classes * np.arange(num)[:, None]
        labels[:, rows] = np.minimum(place, classes - 1).T
    return labels


def _classwise_floor(of: Predictions, labels: Ints, of_label: Floats) -> Floats:
    classes, bins = of.probabilities.shape[1], CLASSWISE_BINS
    blocks = (classwise_sums(of.probabilities[rows], of.labels[rows], bins).confidence for rows in of.blocks())
    expected = sum(blocks, np.zeros((classes, bins))).ravel()
    error = np.empty(len(labels))
    for draw, drawn in enumerate(labels):
        cell = drawn * bins + bin_index(of_label[:, draw], bins, "right")
        error[draw] = np.abs(np.bincount(cell, minlength=classes * bins) - expected).sum()
    return error / len(of) / classes


def calibrated_floor(logits: ArrayLike, draws: int = 200, seed: int = 0, ece_bins: int = 10) -> dict[str, float]:
    """The ECE reported for a perfectly calibrated model with these confidences; `logits` is real [N, C].

    Returns `ece_mean`, `ece_high`, `ece15_mean` and `ece15_high` in percent, `high` being the 97.5% quantile.
    ValueError as in `check_predictions`, or for draws < 1.
    """
    if draws < 1:
        raise ValueError(f"draws must be at least 1, not {draws}")
    shape = np.shape(logits)
    drawn = floor(Predictions(logits, np.zeros(shape[:1] or 1, dtype=np.int64), ece_bins), draws, seed)
    means = {f"{name}_mean": float(drawn[name].mean()) for name in ("ece", "ece15")}
    return means | {f"{name}_high": float(np.quantile(drawn[name], 0.975)) for name in ("ece", "ece15")}


def _top_label(of: Predictions, draws: int, drawn: Callable[[slice], tuple[Floats, Floats]]) -> Draws:
    """The scores of confidence and correctness; `drawn` gives weights and correctness of some draws, sorted."""

    def score(rows: slice) -> Draws:
        points = curve_of(of.ties, *drawn(rows))
        equal, fifteen = equal_width_bins(points, of.ece_bins, "left"), equal_width_bins(points, 15, "right")
        return top_label_scores(equal, fifteen, points)

    with ThreadPoolExecutor(WORKERS) as pool:  # NumPy lets go of the interpreter in all of this
        blocks = list(pool.map(score, _rows_of_draws(draws, len(of))))
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}


def _rows_of_draws(draws: int, num: int) -> list[slice]:
    rows = max(1, DRAWN_AT_ONCE // num)
    return [slice(start, min(start + rows, draws)) for start in range(0, draws, rows)]


def _weighted_sums(weights: NDArray[np.uint8], values: Floats) -> Floats:
    """[draws, K] sums of `values` [N, K], each sample as often as drawn."""
    blocks = _rows_of_draws(len(weights), weights.shape[1])
    return np.concatenate([weights[rows].astype(np.float64) @ values for rows in blocks])
