"""Bootstrap and floor: exact where they can be, and true to what they promise."""

from typing import Any

import numpy as np
import pytest

from pipeline.calibration.scores import metrics, scores, sums
from pipeline.calibration.sums import calibration_error, equal_width_sums
from pipeline.report.resampling import (
    Predictions,
    bootstrap,
    bootstrap_weights,
    calibrated_floor,
    classwise_errors,
    drawn_labels,
    floor,
    interval,
)
from tests.support.worked_examples import TEN, TEN_LABELS, random_predictions


def test_wrong_floor_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="draws must be at least 1, not 0"):
        calibrated_floor(np.zeros((2, 2)), draws=0)
    with pytest.raises(ValueError, match="NaN or Inf"):
        calibrated_floor(np.full((2, 2), np.nan))
    with pytest.raises(ValueError, match="logits must be"):
        calibrated_floor(3.0)


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
    floor = calibrated_floor(logits)
    assert 0.27 < floor["ece_mean"] < 0.41 and 0.5 < floor["ece_high"] < 0.76
    assert floor["ece_mean"] < floor["ece15_mean"] < 0.5 and 0.5 < floor["ece15_high"] < 0.8


def test_floor_is_the_mean_error_of_calibrated_models() -> None:
    confidence = np.random.default_rng(0).uniform(0.2, 1, 2000)
    scores = []
    generator = np.random.default_rng(1)
    for _ in range(300):
        correct = (generator.random(2000) < confidence).astype(np.float64)
        scores.append(100 * calibration_error(equal_width_sums(confidence, correct, 10, "left")))
    logits = np.stack([np.log(confidence), *[np.log((1 - confidence) / 9)] * 9], axis=1)
    floor = calibrated_floor(logits, draws=400, seed=3)
    assert floor["ece_mean"] == pytest.approx(np.mean(scores), rel=0.05)
    assert floor["ece_high"] == pytest.approx(np.quantile(scores, 0.975), rel=0.12)


def test_floor_depends_on_its_seed_only(monkeypatch: pytest.MonkeyPatch) -> None:
    logits, _ = random_predictions(0, 300, 5)
    first = calibrated_floor(logits, draws=50, seed=1)
    np.random.seed(7)  # a global generator must not matter
    monkeypatch.setattr("pipeline.report.resampling.DRAWN_AT_ONCE", 700)  # nor how many draws are made at once
    assert calibrated_floor(logits, draws=50, seed=1) == pytest.approx(first, abs=1e-12)
    assert calibrated_floor(logits, draws=50, seed=2) != first


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
    found = calibrated_floor(logits, draws=100)
    for name, value in zip(("ece_mean", "ece_high", "ece15_mean", "ece15_high"), expected, strict=True):
        # The published values are of other confidences of the same error: a quantile depends more on their shape.
        assert found[name] == pytest.approx(value, rel=0.1 if "mean" in name else 0.17), name


def small(seed: int = 0) -> Predictions:
    return Predictions(*random_predictions(seed, 60, 5))


def test_a_draw_scores_as_its_samples_written_out() -> None:
    logits, labels = random_predictions(1, 60, 5)
    logits[7:20] = logits[3]  # ties
    drawn = bootstrap(Predictions(logits, labels), 8, seed=5)
    for row, weight in enumerate(bootstrap_weights(60, 8, 5)):
        chosen = np.repeat(np.arange(60), weight)
        expected = scores(sums(logits[chosen], labels[chosen]))
        assert set(drawn) == set(expected)
        for name, value in expected.items():
            assert drawn[name][row] == pytest.approx(value, abs=1e-9), name


def test_every_draw_has_as_many_samples_and_depends_on_the_seed_alone() -> None:
    weights = bootstrap_weights(300, 40, 1)
    assert (weights.sum(axis=1) == 300).all()
    assert (weights == bootstrap_weights(300, 40, 1)).all() and (weights != bootstrap_weights(300, 40, 2)).any()
    assert weights.mean(axis=0) == pytest.approx(1, abs=0.9)


def test_draws_do_not_depend_on_how_many_are_made_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    first = bootstrap(small(), 20, 3), floor(small(), 20, 3)
    monkeypatch.setattr("pipeline.report.resampling.DRAWN_AT_ONCE", 70)
    for before, after in zip(first, (bootstrap(small(), 20, 3), floor(small(), 20, 3)), strict=True):
        for name, values in before.items():
            np.testing.assert_allclose(after[name], values, atol=1e-10, err_msg=name)


def test_classwise_error_without_resampling_is_the_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.report.resampling.DRAWN_AT_ONCE", 11)
    of = Predictions(np.log(TEN), TEN_LABELS)
    once = np.ones((2, 10), dtype=np.uint8)
    assert classwise_errors(of, once) == pytest.approx([0.298, 0.298], abs=1e-9)


def test_drawn_labels_follow_the_probabilities() -> None:
    of = Predictions(np.log(np.array([[0.7, 0.2, 0.1], [0.05, 0.05, 0.9]])), np.array([0, 0]))
    labels = drawn_labels(of, 20_000, np.random.default_rng(0))
    for row in range(2):
        share = np.bincount(labels[:, row], minlength=3) / 20_000
        np.testing.assert_allclose(share, of.probabilities[row], atol=0.012)


def test_floor_scores_labels_as_if_they_were_the_test_set() -> None:
    of = small()
    labels = drawn_labels(of, 6, np.random.default_rng(2))
    found = floor(of, 6, 2)
    for row, drawn in enumerate(labels):
        expected = scores(sums(np.log(of.probabilities), drawn))
        for name, value in expected.items():
            assert found[name][row] == pytest.approx(value, abs=1e-9), name


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("logits", [np.array([[900.0, 0]]), np.zeros((3, 1)), np.array([[1e6, 0], [0, 1e6], [0, 0]])])
def test_degenerate_predictions_have_finite_draws(logits: np.ndarray) -> None:
    of = Predictions(logits, np.zeros(len(logits), dtype=int))
    for drawn in (bootstrap(of, 5), floor(of, 5)):
        assert all(np.isfinite(values).all() and values.shape == (5,) for values in drawn.values())


def test_interval_mirrors_the_draws_and_stays_within_what_a_score_can_be() -> None:
    drawn = np.linspace(2, 6, 401)  # quantiles 2.1 and 5.9
    assert interval(3, drawn, 0, 100) == pytest.approx((0.1, 3.9))
    assert interval(2, drawn, 0, 1.7) == pytest.approx((0, 1.7))
    assert interval(9, drawn, 14, 15) == (14, 15)


def overconfident(seed: int, samples: int) -> tuple[Any, Any]:
    """Logits twice too large, labels of the right ones."""
    generator = np.random.default_rng(seed)
    logits = 1.5 * generator.standard_normal((samples, 5))
    cumulative = np.exp(logits).cumsum(axis=1)
    return 2 * logits, (cumulative < cumulative[:, -1:] * generator.random((samples, 1))).sum(axis=1)


def test_intervals_cover_the_score_of_very_many_samples() -> None:
    truth = scores(sums(*overconfident(0, 400_000)))
    names = ("error", "ece", "ace", "ks", "cece", "nll", "brier", "aurc")
    hits = dict.fromkeys(names, 0)
    for seed in range(40):
        logits, labels = overconfident(seed + 1, 1000)
        drawn, values = bootstrap(Predictions(logits, labels), 120, seed), scores(sums(logits, labels))
        for name in names:
            low, high = interval(values[name], drawn[name], 0, 100)
            hits[name] += low <= truth[name] <= high
    assert {name: count for name, count in hits.items() if count < 40 * 0.8} == {}
