"""Binned errors against worked examples, and properties that hold for every input."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.calibration.scores import metrics, softmax, top_label
from pipeline.calibration.sums import (
    BinSums,
    bin_index,
    calibration_error,
    classwise_sums,
    equal_width_sums,
    maximum_error,
    overconfidence_error,
    rms_error,
    underconfidence_error,
)
from tests.support.worked_examples import EDGE_LABELS, EDGES, TEN, TEN_LABELS, random_predictions


def ten(bins: int, closed: str = "left") -> BinSums:
    return equal_width_sums(*top_label(TEN, TEN_LABELS), bins=bins, closed=closed)


@pytest.mark.parametrize("closed", ["left", "right"])
@pytest.mark.parametrize(("bins", "expected"), [(15, 0.336), (10, 0.18), (5, 0.082)])
def test_ece_of_ten_samples(bins: int, expected: float, closed: str) -> None:
    assert calibration_error(ten(bins, closed)) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("bins", "over", "under", "plain_over", "plain_under"),
    [
        (15, 0.14634, 0.084765, 0.206, 0.13),
        (10, 0.10075, 0.031605, 0.128, 0.052),
        (5, 0.068483, 0.001478, 0.079, 0.003),
    ],
)
def test_over_and_underconfidence_of_ten_samples(
    bins: int, over: float, under: float, plain_over: float, plain_under: float
) -> None:
    sums = ten(bins)
    assert overconfidence_error(sums) == pytest.approx(over, abs=5e-7)
    assert underconfidence_error(sums) == pytest.approx(under, abs=5e-7)
    assert overconfidence_error(sums, weighted=False) == pytest.approx(plain_over, abs=1e-12)
    assert underconfidence_error(sums, weighted=False) == pytest.approx(plain_under, abs=1e-12)


@pytest.mark.parametrize("bins", [10, 15])
@pytest.mark.parametrize(("closed", "expected"), [("right", 0.377778), ("left", 0.488889)])
def test_ece_of_confidences_on_edges(bins: int, closed: str, expected: float) -> None:
    sums = equal_width_sums(*top_label(EDGES, EDGE_LABELS), bins=bins, closed=closed)
    assert calibration_error(sums) == pytest.approx(expected, abs=5e-7)


@pytest.mark.parametrize("closed", ["left", "right"])
def test_confidence_one_shares_the_last_bin(closed: str) -> None:
    sums = equal_width_sums(np.array([0.95, 1.0]), np.array([1.0, 0.0]), bins=10, closed=closed)
    assert calibration_error(sums) == pytest.approx(0.475, abs=1e-12)  # an extra bin for 1 would give .525
    assert metrics(np.array([[np.log(19), 0], [1000, 0]]), [0, 1])["ece"] == pytest.approx(47.5, abs=1e-9)


@pytest.mark.parametrize("bins", [5, 10, 15, 20])
def test_every_edge_falls_on_its_own_side(bins: int) -> None:
    edges = np.arange(bins + 1) / bins
    assert bin_index(edges, bins, "left").tolist() == [*range(bins), bins - 1]
    assert bin_index(edges, bins, "right").tolist() == [0, *range(bins)]


@given(seed=st.integers(0, 2**32 - 1), samples=st.integers(1, 60), bins=st.integers(1, 20))
def test_plain_over_and_underconfidence_add_up_to_ece(seed: int, samples: int, bins: int) -> None:
    logits, labels = random_predictions(seed, samples, 4)
    sums = equal_width_sums(*top_label(softmax(logits.astype(np.float64)), labels), bins=bins, closed="left")
    plain = overconfidence_error(sums, weighted=False) + underconfidence_error(sums, weighted=False)
    assert plain == pytest.approx(calibration_error(sums), abs=1e-12)
    assert 0 <= overconfidence_error(sums) + underconfidence_error(sums) <= plain + 1e-12


@given(seed=st.integers(0, 2**32 - 1), cuts=st.lists(st.integers(0, 100), min_size=1, max_size=5))
def test_bin_sums_of_parts_add_up(seed: int, cuts: list[int]) -> None:
    logits, labels = random_predictions(seed, 100, 5)
    confidence, correct = top_label(softmax(logits.astype(np.float64)), labels)
    total = BinSums(np.zeros(10), np.zeros(10), np.zeros(10))
    parts = zip(np.split(confidence, sorted(cuts)), np.split(correct, sorted(cuts)), strict=True)
    for part_confidence, part_correct in parts:
        total = total + equal_width_sums(part_confidence, part_correct, 10, "left")
    whole = equal_width_sums(confidence, correct, 10, "left")
    np.testing.assert_array_equal(total.count, whole.count)
    np.testing.assert_array_equal(total.correct, whole.correct)
    np.testing.assert_allclose(total.confidence, whole.confidence, rtol=1e-12)
    assert calibration_error(total) == pytest.approx(calibration_error(whole), abs=1e-12)


@pytest.mark.parametrize(
    ("bins", "rms", "largest"), [(15, 0.430203, 0.83), (10, 0.225044, 0.36), (5, 0.125854, 0.226667)]
)
def test_rms_and_largest_gap_of_ten_samples(bins: int, rms: float, largest: float) -> None:
    assert rms_error(ten(bins)) == pytest.approx(rms, abs=5e-7)
    assert maximum_error(ten(bins)) == pytest.approx(largest, abs=5e-7)


@pytest.mark.parametrize(("bins", "expected"), [(15, 0.298), (10, 0.244667)])
def test_classwise_error_of_ten_samples(bins: int, expected: float) -> None:
    errors = calibration_error(classwise_sums(TEN, TEN_LABELS, bins))
    assert errors.shape == (3,)
    assert errors.mean() == pytest.approx(expected, abs=5e-7)


def test_classwise_error_of_probabilities_on_edges() -> None:
    # By hand, sums of label - probability in 10 bins (lo, hi].
    errors = calibration_error(classwise_sums(EDGES, EDGE_LABELS, 10))
    # Class 0: 1 -> -1; .8 twice -> 1 - 1.6; .6 -> 1 - .6; .4 and 1/3 in one bin -> 1 - .4 - 1/3.
    assert errors[0] == pytest.approx((1 + 0.6 + 0.4 + 0.6 - 1 / 3) / 6, abs=1e-9)
    # Class 1: 0 and .1 -> 1 - .1; .15 -> 1 - .15; .3 -> -.3; .35 and 1/3 -> -.35 - 1/3.
    assert errors[1] == pytest.approx((0.9 + 0.85 + 0.3 + 0.35 + 1 / 3) / 6, abs=1e-9)


@given(seed=st.integers(0, 2**32 - 1), samples=st.integers(1, 80), classes=st.integers(1, 9), bins=st.integers(1, 20))
def test_classwise_sums_are_those_of_each_class(seed: int, samples: int, classes: int, bins: int) -> None:
    logits, labels = random_predictions(seed, samples, classes)
    probabilities = softmax(logits.astype(np.float64))
    whole = classwise_sums(probabilities, labels, bins)
    for label in range(classes):
        alone = equal_width_sums(probabilities[:, label], (labels == label).astype(np.float64), bins, "right")
        np.testing.assert_array_equal(whole.count[label], alone.count)
        np.testing.assert_array_equal(whole.correct[label], alone.correct)
        np.testing.assert_allclose(whole.confidence[label], alone.confidence, atol=1e-12)
