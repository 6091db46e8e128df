"""One temperature for all logits (Guo et al. 2017), fitted on images that are not scored: by NLL, or by ECE.

SciPy is imported where it is used.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from pipeline.calibration.scores import check_predictions, negative_log_likelihood, softmax, top_label
from pipeline.calibration.sums import Floats, Ints, calibration_error, equal_width_sums

GRID = np.arange(1, 101) / 10  # of temperatures


@dataclass(frozen=True)
class Temperature:
    """logits / T (Guo et al. 2017); predictions do not change."""

    temperature: float

    def apply(self, logits: ArrayLike) -> Floats:
        """Logits [N, C] -> calibrated logits, float64 [N, C]."""
        return np.asarray(logits, dtype=np.float64) / self.temperature

    def describe(self) -> str:
        """The temperature, in words."""
        return f"T = {self.temperature:.3f}"


def fit_temperature(logits: ArrayLike, labels: ArrayLike) -> Temperature:
    """The T in [e^-5, e^5] with the lowest negative log-likelihood, by bounded search over log T."""
    from scipy.optimize import minimize_scalar

    checked, targets = float64(logits, labels)

    def loss(log_temperature: float) -> float:
        return float(negative_log_likelihood(checked / np.exp(log_temperature), targets).mean())

    found = minimize_scalar(loss, bounds=(-5, 5), method="bounded", options={"xatol": 1e-5})
    return Temperature(float(np.exp(found.x)))


def fit_temperature_by_ece(logits: ArrayLike, labels: ArrayLike) -> Temperature:
    """The T among .1, .2, ..., 10 with the lowest ECE (15 bins): "post-temperature ECE" in some papers.

    Kept for comparison with them (MbLS, RankMixup, CSM and others); the smallest T wins a tie. Bins make it a noisy
    choice.
    """
    checked, targets = float64(logits, labels)
    confident = (softmax(checked / temperature) for temperature in GRID)
    errors = [calibration_error(equal_width_sums(*top_label(p, targets), 15, "right")) for p in confident]
    return Temperature(float(GRID[int(np.argmin(errors))]))


def float64(logits: ArrayLike, labels: ArrayLike) -> tuple[Floats, Ints]:
    """Checked logits [N, C] and labels [N]. ValueError as in `calibration.scores.check_predictions`."""
    checked, targets = check_predictions(logits, labels)
    return checked.astype(np.float64), targets
