"""Propositions 3.2 to 3.4 of CSM by numeric optimisation: the sign of beta, and L2's minimum in closed form."""

import numpy as np
import pytest

from pipeline.calibration.balance import LOSSES, cross_entropy, distance, fit, focal, l2, l2_fit

DELTAS = (0.01, 0.03, 0.06, 0.1, 0.15)
LABELS = 0.9, 0.6


@pytest.mark.parametrize("delta", DELTAS)
def test_l2_is_balanced_cross_entropy_favours_the_confident_label_and_focal_the_other(delta: float) -> None:
    beta = {name: fit(loss, *LABELS, delta).beta for name, loss in LOSSES.items()}
    assert beta["L2"] == pytest.approx(0, abs=1e-6)
    assert beta["CE"] < -1e-4 and beta["focal, gamma 1"] > 1e-4


@pytest.mark.parametrize("delta", DELTAS)
def test_l2s_minimum_is_its_closed_form(delta: float) -> None:
    found, exact = fit(l2, *LABELS, delta), l2_fit(*LABELS, delta)
    assert (found.first, found.second) == pytest.approx((exact.first, exact.second), abs=1e-6)
    assert distance(exact.first, exact.second) == pytest.approx(delta)


@pytest.mark.parametrize("name", LOSSES)
def test_no_allowed_pair_on_a_fine_grid_is_better(name: str) -> None:
    loss, delta = LOSSES[name], 0.06
    found = fit(loss, *LABELS, delta)
    labels = np.array([[0.9, 0.1], [0.6, 0.4]])

    def at(first: float, second: float) -> float:
        return loss(np.array([[first, 1 - first], [second, 1 - second]]), labels)

    grid = np.linspace(0.01, 0.99, 99)
    best = min(at(x, y) for x in grid for y in grid if distance(x, y) <= delta)
    assert distance(found.first, found.second) <= delta + 1e-9
    assert best - 2e-3 < at(found.first, found.second) <= best + 1e-9


def test_losses_of_known_predictions() -> None:
    p, q = np.array([[0.5, 0.5], [0.8, 0.2]]), np.array([[1.0, 0.0], [0.5, 0.5]])
    assert l2(p, q) == pytest.approx(0.5 + 0.18)
    assert cross_entropy(p, q) == pytest.approx(-np.log(0.5) - (np.log(0.8) + np.log(0.2)) / 2)
    assert focal(p, q) == pytest.approx(-0.5 * np.log(0.5) - (0.2 * np.log(0.8) + 0.8 * np.log(0.2)) / 2)
