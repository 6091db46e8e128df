"""Calibration errors against worked examples, torchmetrics, and properties that hold for every input."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchmetrics.functional.classification import multiclass_calibration_error

from pipeline.calibration import (
    BinSums,
    bin_index,
    brier_score,
    calibrated_floor,
    calibration_error,
    equal_mass_sums,
    equal_width_sums,
    metrics,
    negative_log_likelihood,
    overconfidence_error,
    reliability_bins,
    softmax,
    top_label,
    underconfidence_error,
    wilson_interval,
)

# Ten samples of three classes, no confidence on the edge of a bin: every published definition of ECE agrees.
TEN = np.array(
    [
        [0.97, 0.02, 0.01],
        [0.88, 0.07, 0.05],
        [0.83, 0.10, 0.07],
        [0.12, 0.76, 0.12],
        [0.15, 0.71, 0.14],
        [0.22, 0.14, 0.64],
        [0.58, 0.25, 0.17],
        [0.21, 0.52, 0.27],
        [0.30, 0.24, 0.46],
        [0.41, 0.33, 0.26],
    ]
)
TEN_LABELS = np.array([0, 0, 1, 1, 2, 2, 0, 0, 2, 1])
# Six samples whose confidences lie on edges, so that the rule for edges decides the number.
THIRD = [1 / 3 + 1e-12, 1 / 3 - 5e-13, 1 / 3 - 5e-13]
EDGES = np.array([[1, 0, 0], [0.8, 0.1, 0.1], [0.8, 0.15, 0.05], [0.6, 0.3, 0.1], [0.4, 0.35, 0.25], THIRD])
EDGE_LABELS = np.array([1, 0, 1, 0, 0, 2])


def ten(bins: int, closed: str = "left") -> BinSums:
    return equal_width_sums(*top_label(TEN, TEN_LABELS), bins=bins, closed=closed)


def random_predictions(seed: int, samples: int, classes: int, scale: float = 3.0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    logits = (generator.normal(size=(samples, classes)) * scale).astype(np.float32)
    return logits, generator.integers(0, classes, samples)


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


@pytest.mark.parametrize(("bins", "expected"), [(15, 0.418), (10, 0.418), (5, 0.132), (3, 0.082)])
def test_equal_mass_error_of_ten_samples(bins: int, expected: float) -> None:
    sums = equal_mass_sums(*top_label(TEN, TEN_LABELS), bins=bins)
    assert calibration_error(sums) == pytest.approx(expected, abs=1e-12)
    assert sums.count.sum() == 10  # the interpolated edges of other code bases lose the least confident sample


def test_equal_mass_error_with_ties_counts_every_sample() -> None:
    confidence = np.array([1.0] * 8 + [0.6, 0.5])
    correct = np.array([1.0] * 7 + [0, 1, 0])
    assert calibration_error(equal_mass_sums(confidence, correct, 5)) == pytest.approx(0.11, abs=1e-12)


def test_nll_and_brier_of_ten_samples() -> None:
    assert negative_log_likelihood(np.log(TEN), TEN_LABELS) == pytest.approx(0.913828, abs=5e-7)
    assert brier_score(TEN, TEN_LABELS) == pytest.approx(0.54362, abs=1e-12)


def test_metrics_of_ten_samples_in_percent() -> None:
    values = metrics(np.log(TEN) + 5, TEN_LABELS)  # a softmax ignores what is added to all logits
    expected = {"error": 40, "ece": 18, "ece15": 33.6, "ace": 41.8, "oe": 10.075, "ue": 3.1605, "brier": 0.54362}
    assert {name: values[name] for name in expected} == pytest.approx(expected, abs=1e-9)
    assert list(values) == ["error", "ece", "ece15", "ace", "oe", "ue", "nll", "brier", "num_samples"]
    assert values["num_samples"] == 10 and isinstance(values["num_samples"], int)


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


def test_metrics_bin_confidences_on_edges_as_documented() -> None:
    logits = np.zeros((2, 5))  # confidence 1/5, an edge of the ten bins
    logits[1, 0] = np.log(4 * 0.28 / 0.72)  # and .28
    # [.2, .3) holds both, one right: |1 - (.2 + .28)| / 2. With (.1, .2] and (.2, .3]: (.8 + .28) / 2.
    assert metrics(logits, [0, 1])["ece"] == pytest.approx(26, abs=1e-9)
    logits = np.zeros((2, 3))  # confidence 1/3, an edge of the fifteen bins
    logits[1, 0] = np.log(2 * 0.37 / 0.63)  # and .37
    # (4/15, 1/3] and (1/3, 6/15] hold one each: (2/3 + .37) / 2. With [1/3, 6/15): |1 - 1/3 - .37| / 2.
    assert metrics(logits, [0, 1])["ece15"] == pytest.approx(100 * (2 / 3 + 0.37) / 2, abs=1e-9)


def test_first_of_equal_probabilities_is_the_prediction() -> None:
    assert metrics(np.zeros((2, 3)), [0, 1])["error"] == 50


@pytest.mark.parametrize("bins", [5, 10, 15, 20])
def test_every_edge_falls_on_its_own_side(bins: int) -> None:
    edges = np.arange(bins + 1) / bins
    assert bin_index(edges, bins, "left").tolist() == [*range(bins), bins - 1]
    assert bin_index(edges, bins, "right").tolist() == [0, *range(bins)]


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    samples=st.integers(1, 200),
    classes=st.integers(2, 12),
    scale=st.floats(0.1, 6),
    bins=st.integers(1, 30),
)
def test_ece_agrees_with_torchmetrics_off_the_edges(
    seed: int, samples: int, classes: int, scale: float, bins: int
) -> None:
    logits, labels = random_predictions(seed, samples, classes, scale)
    probabilities = softmax(logits.astype(np.float64))
    to_edge = np.abs(probabilities.max(axis=1) * bins - np.round(probabilities.max(axis=1) * bins))
    keep = to_edge > 1e-4  # its edges are float32 and it puts a confidence of 1 into an extra bin
    if not keep.any():
        return
    theirs = multiclass_calibration_error(
        torch.from_numpy(probabilities[keep]), torch.from_numpy(labels[keep]), classes, n_bins=bins, norm="l1"
    )
    confidence, correct = top_label(probabilities[keep], labels[keep])
    ours = calibration_error(equal_width_sums(confidence, correct, bins, "left"))
    assert ours == pytest.approx(theirs.item(), abs=2e-6)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), samples=st.integers(1, 60), bins=st.integers(1, 20))
def test_plain_over_and_underconfidence_add_up_to_ece(seed: int, samples: int, bins: int) -> None:
    logits, labels = random_predictions(seed, samples, 4)
    sums = equal_width_sums(*top_label(softmax(logits.astype(np.float64)), labels), bins=bins, closed="left")
    plain = overconfidence_error(sums, weighted=False) + underconfidence_error(sums, weighted=False)
    assert plain == pytest.approx(calibration_error(sums), abs=1e-12)
    assert 0 <= overconfidence_error(sums) + underconfidence_error(sums) <= plain + 1e-12


@settings(max_examples=40, deadline=None)
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
    ("logits", "labels"),
    [
        (np.array([[0.3, 0.1]]), [1]),  # fewer samples than bins
        (np.array([[3.0], [1.0]]), [0, 0]),  # one class
        (np.array([[1e6, 0], [0, 1e6]]), [0, 0]),  # confidence exactly 1, probability of a label exactly 0
        (np.full((40, 4), -1e30), [3] * 40),  # all in one bin
        (np.array([[7, 0], [0, 9]]), [0, 1]),  # integers
    ],
)
@pytest.mark.filterwarnings("error")
def test_degenerate_predictions_give_finite_numbers(logits: np.ndarray, labels: list[int]) -> None:
    values = metrics(logits, labels)
    assert all(np.isfinite(value) for value in values.values())
    assert all(np.isfinite(value) for value in calibrated_floor(logits, draws=3).values())
    assert all(np.isfinite(array).all() for array in vars(reliability_bins(logits, labels)).values())


@pytest.mark.parametrize(
    ("logits", "labels", "message"),
    [
        (np.zeros((0, 3)), np.zeros(0, int), "no prediction"),
        (np.zeros((2, 0)), [0, 0], "no prediction"),
        (np.array([[0, 1], [np.nan, 0]]), [0, 1], "1 samples are NaN or Inf, the first in row 1"),
        (np.array([[0, np.inf], [0, 1]]), [0, 1], "NaN or Inf, the first in row 0"),
        (np.zeros((2, 3)), [0, 3], r"label 3 in row 1 is outside \[0, 3\)"),
        (np.zeros((2, 3)), [-1, 0], "label -1 in row 0"),
        (np.zeros((2, 3)), [0], r"not \[2, 3\] and \[1\]"),
        (np.zeros(3), [0], r"logits must be \[N, C\]"),
        (np.zeros((2, 3)), [0.0, 1.0], "labels integers"),
    ],
)
def test_wrong_predictions_are_refused(logits: np.ndarray, labels: object, message: str) -> None:
    for function in (metrics, reliability_bins):
        with pytest.raises(ValueError, match=message):
            function(logits, labels)


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
    monkeypatch.setattr("pipeline.calibration._DRAWN_AT_ONCE", 700)  # nor how many draws are made at once
    assert calibrated_floor(logits, draws=50, seed=1) == pytest.approx(first, abs=1e-12)
    assert calibrated_floor(logits, draws=50, seed=2) != first


def test_reliability_bins_hold_what_ece_is_made_of() -> None:
    logits, labels = random_predictions(0, 500, 5)
    bins = reliability_bins(logits, labels)
    ece = (bins.count / 500 * np.abs(bins.accuracy - bins.confidence)).sum()
    assert 100 * ece == pytest.approx(metrics(logits, labels)["ece"], abs=1e-9)
    filled = bins.count > 0
    assert not filled[0] and bins.low[0] == bins.high[0] == 0  # 5 classes: no confidence below .2
    assert (bins.low[filled] <= bins.accuracy[filled]).all() and (bins.accuracy[filled] <= bins.high[filled]).all()
    assert bins.lower[3] == 0.3 and bins.upper[9] == 1.0


def test_wilson_interval_of_published_cases() -> None:
    # Newcombe (1998), Table I: 81 of 263, 15 of 148, 0 of 20, 1 of 29.
    right, total = np.array([81, 15, 0, 1.0]), np.array([263, 148, 20, 29.0])
    low, high = wilson_interval(right / total, total)
    np.testing.assert_allclose(low, [0.2553, 0.0624, 0, 0.0061], atol=5e-5)
    np.testing.assert_allclose(high, [0.3662, 0.1605, 0.1611, 0.1718], atol=5e-5)


@pytest.mark.parametrize("key", ["ece", "ece15"])
def test_ece_of_four_samples(key: str) -> None:
    """FACTS section 5: confidences .95 .95 .65 .55, correct 1 0 1 1 -> 42.5% with 10 and 15 bins."""
    confidence = np.array([0.95, 0.95, 0.65, 0.55])
    logits = np.log(np.stack([confidence, 1 - confidence], axis=1))
    assert metrics(logits, np.array([0, 1, 0, 0]))[key] == pytest.approx(42.5)
