"""The entropy of mixup's labels: against drawn labels, an integral and SciPy's."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import entr
from scipy.stats import beta

from pipeline.calibration.label_entropy import LARGEST, entropy_distribution, mean_entropy

ALPHAS = st.floats(0.05, 20)


def drawn(alpha: float, classes: int, num: int) -> np.ndarray:
    """Entropies of labels, mixed as training does: vectors of a permutation of classes."""
    generator = np.random.default_rng(0)
    one_hot = np.eye(classes)[generator.integers(0, classes, num)]
    lam = generator.beta(alpha, alpha, num)[:, None]
    return entr(lam * one_hot + (1 - lam) * generator.permutation(one_hot)).sum(axis=1)


@pytest.mark.parametrize("alpha", [0.1, 0.4, 1, 4])
def test_drawn_labels_have_this_entropy(alpha: float) -> None:
    entropies = drawn(alpha, 5, 40_000)
    assert mean_entropy(alpha, 1 / 5) == pytest.approx(entropies.mean(), abs=6 * entropies.std() / 200)
    at = np.linspace(0.02, 0.99, 9) * LARGEST
    expected = (entropies[:, None] <= at).mean(axis=0)
    np.testing.assert_allclose(entropy_distribution(at, alpha, 1 / 5), expected, atol=0.012)


@settings(max_examples=30)
@given(ALPHAS, st.floats(0, 1))
def test_mean_is_that_of_the_distribution(alpha: float, same: float) -> None:
    at = LARGEST * np.linspace(0, 1, 2001) ** 3  # dense where the distribution rises steeply
    above = np.trapezoid(1 - entropy_distribution(at, alpha, same), at)
    assert above == pytest.approx(mean_entropy(alpha, same), abs=1e-4)


@given(ALPHAS, st.floats(1e-6, 0.5))
def test_distribution_is_that_of_lambda(alpha: float, lam: float) -> None:
    entropy = entr(lam) + entr(1 - lam)
    assert float(entropy_distribution(entropy, alpha)) == pytest.approx(2 * beta.cdf(lam, alpha, alpha), rel=1e-6)


def test_known_values() -> None:
    assert mean_entropy(1) == pytest.approx(0.5)  # of uniform lambda
    assert mean_entropy(1e6) == pytest.approx(LARGEST, abs=1e-6) and mean_entropy(1e-6) == pytest.approx(0, abs=1e-5)
    assert entropy_distribution([-1, LARGEST, 9], 0.4, 0.1).tolist() == [0, 1, 1]
    assert entropy_distribution(0, 0.4, 0.1) == pytest.approx(0.1)  # images of one class
