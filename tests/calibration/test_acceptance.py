"""Thresholds for accepting predictions: the bound, the order of the tests, and that the promise is kept."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, binomtest

from pipeline.calibration.acceptance import (
    GRID,
    Threshold,
    find_threshold,
    images_needed,
    labels_needed,
    lower_bound,
)


@settings(max_examples=50)
@given(st.integers(1, 500), st.data())
def test_the_bound_is_that_of_clopper_and_pearson(total: int, draw: st.DataObject) -> None:
    right = draw.draw(st.integers(0, total))
    exact = binomtest(right, total, alternative="greater").proportion_ci(0.95, "exact").low
    assert lower_bound(right, total) == pytest.approx(exact, abs=1e-9)


@pytest.mark.parametrize(("precision", "needed"), [(0.9, 29), (0.95, 59), (0.98, 149), (0.99, 299)])
def test_images_without_an_error(precision: float, needed: int) -> None:
    assert images_needed(precision) == needed == math.ceil(math.log(0.05) / math.log(precision))
    assert lower_bound(needed, needed) >= precision > lower_bound(needed - 1, needed - 1)


@pytest.mark.parametrize("errors", [1, 2])
def test_images_with_errors_by_trying_all(errors: int) -> None:
    slow = next(n for n in range(errors + 1, 1000) if binom.cdf(errors, n, 0.05) <= 0.05)
    assert images_needed(0.95, errors) == pytest.approx(slow, abs=1)
    assert images_needed(0.95, errors) >= slow


def slow_search(confidence: np.ndarray, correct: np.ndarray, precision: float) -> float | None:
    """From the strictest threshold down, one image at a time."""
    found, begun = None, False
    spare = next((e for e in (2, 1, 0) if len(confidence) >= images_needed(precision, e)), None)
    for threshold in GRID:
        accepted = [bool(c) for p, c in zip(confidence, correct, strict=True) if p >= threshold]
        if not begun and (spare is None or len(accepted) < images_needed(precision, spare)):
            continue
        begun = True
        wrong = accepted.count(False)
        if binom.cdf(wrong, len(accepted), 1 - precision) > 0.05:  # as likely as this under the worst allowed precision
            break
        found = threshold
    return found


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1), st.integers(10, 700), st.sampled_from([0.9, 0.95, 0.98]), st.floats(0.5, 3))
def test_the_threshold_is_that_of_a_slow_search(seed: int, num: int, precision: float, power: float) -> None:
    generator = np.random.default_rng(seed)
    confidence = 1 - generator.uniform(size=num) ** 3 / 2
    correct = generator.uniform(size=num) < confidence**power
    found = find_threshold(confidence, correct.astype(float), precision)
    assert found.threshold == slow_search(confidence, correct, precision)
    if found.threshold is not None:
        assert found.accepted == (confidence >= found.threshold).sum()
        assert found.wrong == (~correct[confidence >= found.threshold]).sum()


def test_labels_say_nothing_about_where_the_tests_begin() -> None:
    """The first threshold tested accepts 124 images, enough for two errors among them, whatever the labels are."""
    confidence = np.repeat([0.9999999, 0.9, 0.5], [20, 200, 200])
    for correct in (np.ones(420), np.zeros(420)):
        found = find_threshold(confidence, correct, 0.95)
        assert found.accepted == (420 if correct.all() else 220)
    assert find_threshold(confidence, np.ones(420), 0.95).threshold == 0


def test_too_few_images_or_too_many_errors() -> None:
    few = np.full(100, 0.9), np.ones(100)
    assert find_threshold(*few, 0.98) == Threshold(None, 100, 0) and labels_needed(*few, 0.98) == 149
    wrong = np.full(400, 0.9), np.repeat([0.0, 1.0], [40, 360])
    assert find_threshold(*wrong, 0.98) == Threshold(None, 400, 40) and labels_needed(*wrong, 0.98) is None
    some = np.full(400, 0.9), np.repeat([0.0, 1.0], [4, 396])
    needed = labels_needed(*some, 0.98)
    assert find_threshold(*some, 0.98).threshold is None and needed is not None and 400 < needed < 1200
    assert find_threshold(np.full(needed, 0.9), np.arange(needed) >= needed // 100, 0.98).threshold is not None


def test_a_stricter_threshold_may_need_fewer_labels() -> None:
    """Half of the images are surely right: 149 of those are 298 images."""
    sure = np.repeat([0.99, 0.6], 50), np.repeat([1.0, 0.0], 50)
    assert find_threshold(*sure, 0.98).threshold is None and labels_needed(*sure, 0.98) == 298


def test_the_promise_is_kept_in_19_of_20_draws() -> None:
    """A network whose precision falls below 95% at .9: the threshold found lies below that in at most 5% of draws."""
    broken, draws, generator = 0, 400, np.random.default_rng(0)
    for _ in range(draws):
        confidence = generator.uniform(0.5, 1, 500)
        correct = generator.uniform(size=500) < _accuracy(confidence)
        threshold = find_threshold(confidence, correct.astype(float), 0.95).threshold
        fine = np.linspace(threshold if threshold is not None else 1, 1, 10_000)
        broken += threshold is not None and _accuracy(fine).mean() < 0.95
    assert broken <= binom.ppf(0.999, draws, 0.05)


def _accuracy(confidence: np.ndarray) -> np.ndarray:
    return np.clip(1 - 2 * (1 - confidence) * 0.5, 0, 1)
