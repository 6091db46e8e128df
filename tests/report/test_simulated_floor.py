"""The simulated floor: what perfectly calibrated models score, drawn and counted another way."""

import numpy as np
import pytest

from pipeline.calibration.scores import metrics, scores, sums
from pipeline.calibration.sums import calibration_error, equal_width_sums
from pipeline.report.resampling import PreparedPredictions
from pipeline.report.simulated_floor import SimulatedFloor, calibrated_draws, drawn_labels, simulated_floor
from tests.support.worked_examples import random_predictions


def floor_of(logits: object, draws: int = 200, seed: int = 0) -> dict[str, SimulatedFloor]:
    """Of the confidences alone: the labels, all 0 here, do not matter."""
    labels = np.zeros(np.shape(logits)[:1] or 1, dtype=np.int64)
    return simulated_floor(PreparedPredictions(logits, labels), draws, seed)


def numbers(floors: dict[str, SimulatedFloor]) -> dict[str, float]:
    return {f"{name} {key}": value for name, floor in floors.items() for key, value in vars(floor).items()}


def test_wrong_floor_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="draws must be at least 1, not 0"):
        floor_of(np.zeros((2, 2)), draws=0)
    with pytest.raises(ValueError, match="NaN or Inf"):
        floor_of(np.full((2, 2), np.nan))
    with pytest.raises(ValueError, match="logits must be"):
        floor_of(3.0)


def calibrated_predictions(seed: int, samples: int, confidence: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Logits [samples, 10] with the given confidences and labels that make them perfectly calibrated."""
    generator = np.random.default_rng(seed)
    confidence = np.clip(generator.choice(confidence, samples), 0.11, 1 - 1e-9)
    logits = np.log(np.repeat((1 - confidence)[:, None] / 9, 10, axis=1))
    logits[:, 0] = np.log(confidence)
    right = generator.random(samples) < confidence
    return logits, np.where(right, 0, generator.integers(1, 10, samples))


def test_floor_of_a_cifar10_like_model() -> None:
    # About 5% error at N = 10,000: the floor is close to .34 / .63 (10 bins) and .40 / .66 (15 bins).
    confidence = np.random.default_rng(0).beta(6, 0.35, 20_000)
    logits, labels = calibrated_predictions(1, 10_000, confidence)
    assert 4 < metrics(logits, labels)["error"] < 7
    floor = floor_of(logits)
    assert 0.27 < floor["ece"].mean < 0.41 and 0.5 < floor["ece"].high < 0.76
    assert floor["ece"].mean < floor["ece15"].mean < 0.5 and 0.5 < floor["ece15"].high < 0.8


def test_floor_is_the_mean_error_of_calibrated_models() -> None:
    confidence = np.random.default_rng(0).uniform(0.2, 1, 2000)
    scores = []
    generator = np.random.default_rng(1)
    for _ in range(300):
        correct = (generator.random(2000) < confidence).astype(np.float64)
        scores.append(100 * calibration_error(equal_width_sums(confidence, correct, 10, "left")))
    logits = np.stack([np.log(confidence), *[np.log((1 - confidence) / 9)] * 9], axis=1)
    floor = floor_of(logits, draws=400, seed=3)["ece"]
    assert floor.mean == pytest.approx(np.mean(scores), rel=0.05)
    assert floor.high == pytest.approx(np.quantile(scores, 0.975), rel=0.12)


def test_floor_depends_on_its_seed_only(monkeypatch: pytest.MonkeyPatch) -> None:
    logits, _ = random_predictions(0, 300, 5)
    first = numbers(floor_of(logits, draws=50, seed=1))
    np.random.seed(7)  # a global generator must not matter
    monkeypatch.setattr("pipeline.report.resampling.DRAWN_AT_ONCE", 700)  # nor how many draws are made at once
    assert numbers(floor_of(logits, draws=50, seed=1)) == pytest.approx(first, abs=1e-12)
    assert numbers(floor_of(logits, draws=50, seed=2)) != first


@pytest.mark.parametrize(
    ("samples", "beta", "expected"),
    [
        (10_000, (15, 1), (0.34, 0.63, 0.40, 0.66)),  # confidences as on CIFAR-10
        (10_000, (1.5, 0.6), (0.89, 1.36, 1.10, 1.53)),  # CIFAR-100
        (8_000, (1.5, 0.35), (0.84, 1.25, 1.05, 1.56)),  # STL-10
        (50_000, (2, 1.2), (0.46, 0.70, 0.54, 0.79)),  # ImageNet, few labels
    ],
)
def test_floors_of_the_data_sets(samples: int, beta: tuple[float, float], expected: tuple[float, ...]) -> None:
    confidence = np.clip(np.random.default_rng(0).beta(*beta, samples), 0.051, 1 - 1e-9)
    logits = np.log(np.repeat((1 - confidence)[:, None] / 19, 20, axis=1))
    logits[:, 0] = np.log(confidence)
    found = numbers(floor_of(logits, draws=100))
    for name, value in zip(("ece mean", "ece high", "ece15 mean", "ece15 high"), expected, strict=True):
        # The published values are of other confidences of the same error: a quantile depends more on their shape.
        assert found[name] == pytest.approx(value, rel=0.1 if "mean" in name else 0.17), name


def test_drawn_labels_follow_the_probabilities() -> None:
    of = PreparedPredictions(np.log(np.array([[0.7, 0.2, 0.1], [0.05, 0.05, 0.9]])), np.array([0, 0]))
    labels = drawn_labels(of, 20_000, np.random.default_rng(0))
    for row in range(2):
        share = np.bincount(labels[:, row], minlength=3) / 20_000
        np.testing.assert_allclose(share, of.probabilities[row], atol=0.012)


def test_floor_scores_labels_as_if_they_were_the_test_set() -> None:
    of = PreparedPredictions(*random_predictions(0, 60, 5))
    labels = drawn_labels(of, 6, np.random.default_rng(2))
    found = calibrated_draws(of, 6, 2)
    for row, drawn in enumerate(labels):
        expected = scores(sums(np.log(of.probabilities), drawn))
        for name, value in expected.items():
            assert found[name][row] == pytest.approx(value, abs=1e-9), name
