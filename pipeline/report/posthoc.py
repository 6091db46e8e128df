"""Post-hoc calibration: maps from logits to better calibrated logits, fitted on held-out predictions.

Fit them on images that are not scored (see held_out.py). SciPy and scikit-learn are imported where they are used.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike

from pipeline.calibration.scores import probabilities_and_nll, softmax
from pipeline.calibration.sums import Floats
from pipeline.calibration.temperature import fit_temperature, fit_temperature_by_ece, float64

MIN_PROBABILITY = 1e-12  # an isotonic map gives exact zeros


class Map(Protocol):
    """A fitted method: a map from logits to logits."""

    def apply(self, logits: ArrayLike) -> Floats:
        """Logits [N, C] -> calibrated logits, float64 [N, C]."""
        ...

    def describe(self) -> str:
        """The fitted parameters, in a few words."""
        ...


@dataclass(frozen=True)
class Vector:
    """logits * scale + bias, with one scale and one bias per class (Guo et al. 2017)."""

    scale: Floats  # [C]
    bias: Floats  # [C]

    def apply(self, logits: ArrayLike) -> Floats:
        return np.asarray(logits, dtype=np.float64) * self.scale + self.bias

    def describe(self) -> str:
        return f"{2 * len(self.scale)} numbers, scales {self.scale.min():.2f} to {self.scale.max():.2f}"


@dataclass(frozen=True)
class Isotonic:
    """A monotone step function of each class's probability, then normalised (Zadrozny and Elkan 2002)."""

    curves: tuple[Callable[[Floats], Floats], ...]  # [C]; each maps probabilities [N] of its class

    def apply(self, logits: ArrayLike) -> Floats:
        probabilities = softmax(np.asarray(logits, dtype=np.float64))
        mapped = np.stack([curve(p) for curve, p in zip(self.curves, probabilities.T, strict=True)], axis=1)
        # Where every class gets 0, nothing is known: all logits are then equal, a uniform distribution.
        return np.log(np.maximum(mapped, MIN_PROBABILITY))

    def describe(self) -> str:
        return f"{len(self.curves)} monotone curves"


def fit_vector(logits: ArrayLike, labels: ArrayLike) -> Vector:
    """Scale and bias with the lowest negative log-likelihood, by L-BFGS from the best single temperature.

    Scales stay positive. ValueError as in `calibration.scores.check_predictions`.
    """
    from scipy.optimize import minimize

    checked, targets = float64(logits, labels)
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
    """One isotonic regression per class, against the rest, by scikit-learn."""
    from sklearn.isotonic import IsotonicRegression

    checked, targets = float64(logits, labels)
    probabilities = softmax(checked)
    curves = (
        IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(column, targets == label).predict
        for label, column in enumerate(probabilities.T)
    )
    return Isotonic(tuple(curves))


METHODS: dict[str, Callable[[ArrayLike, ArrayLike], Map]] = {
    "temperature": fit_temperature,
    "temperature-by-ece": fit_temperature_by_ece,
    "vector": fit_vector,
    "isotonic": fit_isotonic,
}
