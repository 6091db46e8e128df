"""Errors without fixed bins: worked examples, ties, brute force."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.calibration.confidence_curve import (
    aurc,
    curve,
    curve_of,
    equal_mass_bins,
    equal_width_bins,
    ks_error,
    ties,
)
from pipeline.calibration.scores import top_label
from pipeline.calibration.sums import calibration_error, equal_width_sums
from tests.support.worked_examples import TEN, TEN_LABELS

Pair = tuple[np.ndarray, np.ndarray]


def tied(seed: int, samples: int) -> Pair:
    """Confidences with many ties, the edges of bins among them, and correctness."""
    generator = np.random.default_rng(seed)
    return generator.integers(1, 21, samples) / 20, generator.integers(0, 2, samples).astype(np.float64)


@pytest.mark.parametrize(("bins", "expected"), [(15, 0.418), (10, 0.418), (5, 0.132), (3, 0.082)])
def test_equal_mass_error_of_ten_samples(bins: int, expected: float) -> None:
    sums = equal_mass_bins(curve(*top_label(TEN, TEN_LABELS)), bins)
    assert calibration_error(sums) == pytest.approx(expected, abs=1e-12)
    assert sums.count.sum() == 10  # the interpolated edges of other code bases lose the least confident sample


def test_equal_mass_error_with_ties_counts_every_sample() -> None:
    confidence = np.array([1.0] * 8 + [0.6, 0.5])
    correct = np.array([1.0] * 7 + [0, 1, 0])
    assert calibration_error(equal_mass_bins(curve(confidence, correct), 5)) == pytest.approx(0.11, abs=1e-12)


def test_fewer_samples_than_bins_are_a_bin_each() -> None:
    sums = equal_mass_bins(curve(np.array([0.9, 0.5]), np.array([0.0, 1.0])), 15)
    assert sums.count.tolist() == [1, 1] + [0] * 13
    assert calibration_error(sums) == pytest.approx((0.9 + 0.5) / 2)


def test_ks_and_aurc_of_ten_samples() -> None:
    points = curve(*top_label(TEN, TEN_LABELS))
    assert ks_error(points) == pytest.approx(0.091, abs=1e-12)
    assert aurc(points) == pytest.approx(0.271071, abs=5e-7)


def test_ks_and_aurc_of_ties_by_hand() -> None:
    # .9 right and wrong, then .6 right. Risk of one sample 1/2, of two 1/2, of all 1/3.
    points = curve(np.array([0.9, 0.6, 0.9]), np.array([1.0, 1.0, 0.0]))
    assert aurc(points) == pytest.approx((1 / 2 + 1 / 2 + 1 / 3) / 3)
    assert ks_error(points) == pytest.approx(0.4 / 3)  # after .6: .4 over; after .9 twice: .4 - .8


@given(seed=st.integers(0, 2**32 - 1), samples=st.integers(1, 60))
def test_no_score_depends_on_the_order_of_samples(seed: int, samples: int) -> None:
    confidence, correct = tied(seed, samples)
    order = np.random.default_rng(seed).permutation(samples)
    first, second = curve(confidence, correct), curve(confidence[order], correct[order])
    for score in (ks_error, aurc, lambda points: calibration_error(equal_mass_bins(points, 7))):
        assert score(first) == pytest.approx(score(second), abs=1e-12)


@given(seed=st.integers(0, 2**32 - 1), samples=st.integers(1, 60), bins=st.integers(1, 25), left=st.booleans())
def test_equal_width_bins_of_the_curve_are_those_of_the_samples(seed: int, samples: int, bins: int, left: bool) -> None:
    confidence, correct = tied(seed, samples)
    closed = "left" if left else "right"
    expected = equal_width_sums(confidence, correct, bins, closed)
    found = equal_width_bins(curve(confidence, correct), bins, closed)
    np.testing.assert_array_equal(found.count, expected.count)
    np.testing.assert_allclose(found.confidence, expected.confidence, atol=1e-12)
    np.testing.assert_allclose(found.correct, expected.correct, atol=1e-12)


@given(seed=st.integers(0, 2**32 - 1), samples=st.integers(1, 40))
def test_weights_count_a_sample_as_often(seed: int, samples: int) -> None:
    """A batch of weighted curves scores as the samples written out, for every score."""
    confidence, correct = tied(seed, samples)
    generator = np.random.default_rng(seed)
    weights = np.stack([np.bincount(generator.integers(0, samples, samples), minlength=samples) for _ in range(3)])
    groups = ties(confidence)
    batch = curve_of(groups, weights[:, groups.order].astype(np.float64), correct[groups.order])
    for row, weight in enumerate(weights):
        alone = curve(np.repeat(confidence, weight), np.repeat(correct, weight))
        assert ks_error(batch)[row] == pytest.approx(ks_error(alone), abs=1e-12)
        assert aurc(batch)[row] == pytest.approx(aurc(alone), abs=1e-12)
        error = calibration_error(equal_mass_bins(batch, 6))[row]
        assert error == pytest.approx(calibration_error(equal_mass_bins(alone, 6)), abs=1e-12)


@given(seed=st.integers(0, 2**32 - 1), samples=st.integers(1, 40))
def test_aurc_is_the_mean_of_all_risks(seed: int, samples: int) -> None:
    generator = np.random.default_rng(seed)
    confidence, correct = generator.random(samples), generator.integers(0, 2, samples).astype(np.float64)
    wrong = 1 - correct[np.argsort(-confidence)]
    risks = np.cumsum(wrong) / np.arange(1, samples + 1)
    assert aurc(curve(confidence, correct)) == pytest.approx(risks.mean(), abs=1e-12)
