"""Calibration after training: maps from logits to better calibrated logits, fitted on held-out predictions.

Fit on predictions that are not scored: of the images of the test set that a method was fitted on, no score counts.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import minimize, minimize_scalar
from sklearn.isotonic import IsotonicRegression

from pipeline.calibration.scores import (
    check_predictions,
    negative_log_likelihood,
    probabilities_and_nll,
    softmax,
    top_label,
)
from pipeline.calibration.sums import Floats, Ints, calibration_error, equal_width_sums

LEAST_PROBABILITY = 1e-12  # of an isotonic map, which knows exact zeros
GRID = np.arange(1, 101) / 10


class Map(Protocol):
    """A fitted method."""

    def apply(self, logits: ArrayLike) -> Floats:
        """Logits [N, C] -> calibrated logits, float64 [N, C]."""
        ...

    def describe(self) -> str:
        """What was fitted, in some words."""
        ...


@dataclass(frozen=True)
class Temperature:
    """logits / T (Guo et al. 2017): the prediction stays."""

    temperature: float

    def apply(self, logits: ArrayLike) -> Floats:
        return np.asarray(logits, dtype=np.float64) / self.temperature

    def describe(self) -> str:
        return f"T = {self.temperature:.3f}"


@dataclass(frozen=True)
class Vector:
    """logits * scale + bias, one of each a class (Guo et al. 2017)."""

    scale: Floats  # [C]
    bias: Floats  # [C]

    def apply(self, logits: ArrayLike) -> Floats:
        return np.asarray(logits, dtype=np.float64) * self.scale + self.bias

    def describe(self) -> str:
        return f"{2 * len(self.scale)} numbers, scales {self.scale.min():.2f} to {self.scale.max():.2f}"


@dataclass(frozen=True)
class Isotonic:
    """A monotone step function of each class's probability, then normalised (Zadrozny and Elkan 2002)."""

    curves: tuple[IsotonicRegression, ...]  # [C]

    def apply(self, logits: ArrayLike) -> Floats:
        probabilities = softmax(np.asarray(logits, dtype=np.float64))
        mapped = np.stack([curve.predict(p) for curve, p in zip(self.curves, probabilities.T, strict=True)], axis=1)
        # Where every class got 0 nothing is known: the logarithm below then gives a uniform distribution.
        return np.log(np.maximum(mapped, LEAST_PROBABILITY))

    def describe(self) -> str:
        return f"{len(self.curves)} monotone curves"


def fit_temperature(logits: ArrayLike, labels: ArrayLike) -> Temperature:
    """T of the least negative log-likelihood, searched for on log T in [e^-5, e^5]."""
    checked, targets = _float64(logits, labels)

    def loss(log_temperature: float) -> float:
        return float(negative_log_likelihood(checked / np.exp(log_temperature), targets).mean())

    found = minimize_scalar(loss, bounds=(-5, 5), method="bounded", options={"xatol": 1e-5})
    return Temperature(float(np.exp(found.x)))


def fit_temperature_by_ece(logits: ArrayLike, labels: ArrayLike) -> Temperature:
    """T out of .1, .2, ..., 10 of the least ECE (15 bins): what "post-temperature ECE" means in some papers.

    Kept for comparison with them (MbLS, RankMixup and others); of equal ones the smallest. Bins make it a noisy choice.
    """
    checked, targets = _float64(logits, labels)
    confident = (softmax(checked / temperature) for temperature in GRID)
    errors = [calibration_error(equal_width_sums(*top_label(p, targets), 15, "right")) for p in confident]
    return Temperature(float(GRID[int(np.argmin(errors))]))


def fit_vector(logits: ArrayLike, labels: ArrayLike) -> Vector:
    """Scale and bias of the least negative log-likelihood, by L-BFGS from the best single temperature.

    Scales stay positive. ValueError as in `calibration.check_predictions`.
    """
    checked, targets = _float64(logits, labels)
    num, classes = checked.shape

    def loss(parameters: Floats) -> tuple[float, Floats]:
        residual, nll = probabilities_and_nll(checked * parameters[:classes] + parameters[classes:], targets)
        residual[np.arange(num), targets] -= 1
        residual /= num
        gradient = np.concatenate([np.einsum("nc,nc->c", residual, checked), residual.sum(axis=0)])
        return float(nll.mean()), gradient

    start = np.concatenate([np.full(classes, 1 / fit_temperature(checked, targets).temperature), np.zeros(classes)])
    bounds = [(1e-3, 1e3)] * classes + [(-50.0, 50.0)] * classes  # classes that separate perfectly have no optimum
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 300})
    return Vector(found.x[:classes], found.x[classes:])


def fit_isotonic(logits: ArrayLike, labels: ArrayLike) -> Isotonic:
    """One isotonic regression a class against the rest, by scikit-learn."""
    checked, targets = _float64(logits, labels)
    probabilities = softmax(checked)
    curves = (
        IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(column, targets == label)
        for label, column in enumerate(probabilities.T)
    )
    return Isotonic(tuple(curves))


def _float64(logits: ArrayLike, labels: ArrayLike) -> tuple[Floats, Ints]:
    checked, targets = check_predictions(logits, labels)
    return checked.astype(np.float64), targets


METHODS: dict[str, Callable[[ArrayLike, ArrayLike], Map]] = {
    "temperature": fit_temperature,
    "temperature-by-ece": fit_temperature_by_ece,
    "vector": fit_vector,
    "isotonic": fit_isotonic,
}


def split(num: int, share: float, seed: int) -> tuple[Ints, Ints]:
    """(rows to fit on, rows to score), sorted and disjoint; `share` in (0, 1) of `num`, at least one of each."""
    order = np.random.default_rng(seed).permutation(num)
    cut = min(max(1, round(share * num)), num - 1)
    return np.sort(order[:cut]), np.sort(order[cut:])
