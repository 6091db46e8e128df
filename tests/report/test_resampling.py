"""Bootstrap draws and intervals: exact where they can be, and true to what they promise."""

from typing import Any

import numpy as np
import pytest

from pipeline.calibration.scores import scores, sums
from pipeline.report.resampling import (
    PreparedPredictions,
    bootstrap,
    bootstrap_weights,
    classwise_errors,
    interval,
)
from pipeline.report.simulated_floor import calibrated_draws
from tests.support.worked_examples import TEN, TEN_LABELS, random_predictions


def small(seed: int = 0) -> PreparedPredictions:
    return PreparedPredictions(*random_predictions(seed, 60, 5))


def test_a_draw_scores_as_its_samples_written_out() -> None:
    logits, labels = random_predictions(1, 60, 5)
    logits[7:20] = logits[3]  # ties
    drawn = bootstrap(PreparedPredictions(logits, labels), 8, seed=5)
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
    first = bootstrap(small(), 20, 3), calibrated_draws(small(), 20, 3)
    monkeypatch.setattr("pipeline.report.resampling.DRAWN_AT_ONCE", 70)
    for before, after in zip(first, (bootstrap(small(), 20, 3), calibrated_draws(small(), 20, 3)), strict=True):
        for name, values in before.items():
            np.testing.assert_allclose(after[name], values, atol=1e-10, err_msg=name)


def test_classwise_error_without_resampling_is_the_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.report.resampling.DRAWN_AT_ONCE", 11)
    of = PreparedPredictions(np.log(TEN), TEN_LABELS)
    once = np.ones((2, 10), dtype=np.uint8)
    assert classwise_errors(of, once) == pytest.approx([0.298, 0.298], abs=1e-9)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "logits",
    [
        np.array([[900.0, 0]]),
        np.zeros((3, 1)),
        np.array([[1e6, 0], [0, 1e6], [0, 0]]),
        np.full((40, 4), -1e30),
        np.array([[7, 0], [0, 9]]),
    ],
)
def test_degenerate_predictions_have_finite_draws(logits: np.ndarray) -> None:
    of = PreparedPredictions(logits, np.zeros(len(logits), dtype=int))
    for drawn in (bootstrap(of, 5), calibrated_draws(of, 5)):
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
        drawn, values = bootstrap(PreparedPredictions(logits, labels), 120, seed), scores(sums(logits, labels))
        for name in names:
            low, high = interval(values[name], drawn[name], 0, 100)
            hits[name] += low <= truth[name] <= high
    assert {name: count for name, count in hits.items() if count < 40 * 0.8} == {}
