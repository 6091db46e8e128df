"""Post-hoc maps recover what was done to the logits, beat nothing by cheating, and survive small splits."""

import numpy as np
import pytest
from sklearn.isotonic import IsotonicRegression

from pipeline.calibration.scores import metrics, softmax
from pipeline.calibration.temperature import Temperature, fit_temperature, fit_temperature_by_ece
from pipeline.report.held_out import split_rows
from pipeline.report.posthoc import METHODS, fit_isotonic, fit_vector

Pair = tuple[np.ndarray, np.ndarray]


def calibrated(seed: int, samples: int = 4000, classes: int = 6) -> Pair:
    """Logits and labels drawn from their softmax."""
    generator = np.random.default_rng(seed)
    logits = 2 * generator.standard_normal((samples, classes))
    cumulative = softmax(logits).cumsum(axis=1)
    return logits, np.minimum((cumulative < generator.random((samples, 1))).sum(axis=1), classes - 1)


@pytest.mark.parametrize("factor", [3.0, 1.0, 0.25])
def test_temperature_is_recovered(factor: float) -> None:
    logits, labels = calibrated(0, samples=40_000)
    assert fit_temperature(factor * logits, labels).temperature == pytest.approx(factor, rel=0.02)


def test_temperature_of_the_least_ece_is_near_too() -> None:
    logits, labels = calibrated(1, samples=20_000)
    fitted = fit_temperature_by_ece(3 * logits, labels)
    assert fitted.temperature == pytest.approx(3, rel=0.15)
    assert round(10 * fitted.temperature) == pytest.approx(10 * fitted.temperature)  # of the grid


def test_vector_scaling_is_recovered() -> None:
    logits, labels = calibrated(2, samples=30_000, classes=4)
    scale, bias = np.array([2.0, 0.5, 1, 3]), np.array([1.0, -1, 0, 0.5])
    fitted = fit_vector((logits - bias) / scale, labels)
    np.testing.assert_allclose(fitted.scale, scale, rtol=0.06)
    np.testing.assert_allclose(fitted.bias - fitted.bias.mean(), bias - bias.mean(), atol=0.08)


def test_isotonic_is_scikit_learns_of_each_class() -> None:
    logits, labels = calibrated(3)
    probabilities = softmax(2 * logits)
    expected = np.stack(
        [IsotonicRegression(out_of_bounds="clip").fit_transform(p, labels == c) for c, p in enumerate(probabilities.T)],
        1,
    )
    expected /= expected.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(softmax(fit_isotonic(2 * logits, labels).apply(2 * logits)), expected, atol=1e-9)


@pytest.mark.parametrize("method", sorted(METHODS))
def test_every_method_calibrates_other_images(method: str) -> None:
    logits, labels = calibrated(4, samples=8000)
    fit, rest = split_rows(8000, 0.5, 0)
    fitted = METHODS[method](3 * logits[fit], labels[fit])
    before, after = metrics(3 * logits[rest], labels[rest]), metrics(fitted.apply(3 * logits[rest]), labels[rest])
    assert before["ece"] > 10 and after["ece"] < 0.35 * before["ece"]
    assert after["nll"] < before["nll"] and after["brier"] < before["brier"]
    assert fitted.describe()


def test_temperature_never_changes_the_prediction() -> None:
    logits, labels = calibrated(5, samples=500)
    assert metrics(Temperature(7.3).apply(logits), labels)["error"] == metrics(logits, labels)["error"]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("method", sorted(METHODS))
def test_small_and_separable_splits_give_finite_numbers(method: str) -> None:
    logits = np.array([[9.0, 0, 0], [0, 9, 0], [9, 1, 0]])  # all right, the last class absent
    fitted = METHODS[method](logits, [0, 1, 0])
    assert np.isfinite(fitted.apply(logits)).all()
    assert np.isfinite(list(metrics(fitted.apply(logits + 1), [0, 1, 0]).values())).all()
