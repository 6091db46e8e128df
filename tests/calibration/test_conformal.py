"""Split conformal prediction against slow definitions, and its coverage."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import betabinom

from pipeline.calibration.conformal import METHODS, aps_scores, lac_scores, prediction_sets, quantile, right_scores

PERCENTS = st.integers(1, 99)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=60), PERCENTS)
def test_the_quantile_is_the_smallest_that_covers_enough(scores: list[float], percent: int) -> None:
    needed = Fraction(percent, 100) * (len(scores) + 1)  # of n + 1, the new one among them, which may be the largest
    slow = next((s for s in sorted(scores) if sum(other <= s for other in scores) >= needed), math.inf)
    assert quantile(np.array(scores), percent / 100) == slow


def slow_aps(row: list[float], share: float, of: int) -> float:
    """The probability of all classes before this one, and a share of its own."""
    order = sorted(range(len(row)), key=lambda c: (-row[c], c))
    before = order[: order.index(of)]
    return sum(row[c] for c in before) + share * row[of]


@given(st.integers(0, 2**32 - 1), st.integers(2, 8), st.booleans())
def test_scores_by_class(seed: int, classes: int, ties: bool) -> None:
    generator = np.random.default_rng(seed)
    raw = generator.integers(1, 4, (5, classes)) if ties else generator.uniform(size=(5, classes))
    probabilities, share = raw / raw.sum(axis=1, keepdims=True), generator.uniform(size=5)
    slow = [[slow_aps(list(row), u, c) for c in range(classes)] for row, u in zip(probabilities, share, strict=True)]
    assert np.allclose(aps_scores(probabilities, share), slow, rtol=0, atol=1e-12)
    assert np.array_equal(lac_scores(probabilities, share), 1 - probabilities)


@pytest.mark.parametrize("method", METHODS)
def test_coverage_follows_its_beta_binomial_law(method: str) -> None:
    """Of m new images as many are covered as BetaBinomial(m, k, n + 1 - k) says, whatever the network."""
    generator, n, m, coverage = np.random.default_rng(1), 200, 300, 0.9
    k = math.ceil((n + 1) * coverage)
    low, high = betabinom.ppf((0.0005, 0.9995), m, k, n + 1 - k)
    found = []
    for _ in range(200):
        probabilities = generator.dirichlet(np.full(6, 0.3), n + m)
        labels = (probabilities.cumsum(axis=1) < generator.uniform(size=(n + m, 1))).sum(axis=1).clip(max=5)
        skewed = probabilities**3 / (probabilities**3).sum(axis=1, keepdims=True)  # an overconfident network
        scores = METHODS[method](skewed, generator.uniform(size=n + m))
        right = right_scores(scores, labels)
        bound = quantile(right[:n], coverage)
        sets = prediction_sets(scores[n:], bound)
        found.append(sets[np.arange(m), labels[n:]].sum())
    assert sum(not low <= covered <= high for covered in found) <= 2
    assert np.mean(found) / m == pytest.approx(k / (n + 1), abs=0.01)


def test_too_few_images_bound_nothing() -> None:
    assert quantile(np.array([0.5] * 8), 0.9) == math.inf and quantile(np.array([0.5] * 9), 0.9) == 0.5
    assert prediction_sets(np.array([[0.1, 1.0]]), math.inf).all()
