"""All scores of a test set: worked examples, parts that add up, and predictions that are refused."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.calibration.reliability import reliability_bins
from pipeline.calibration.scores import (
    Sums,
    brier_score,
    metrics,
    negative_log_likelihood,
    scores,
    sums,
)
from pipeline.distributed import Ranks
from pipeline.report.glossary import SCORES
from tests.support.ranks import on_ranks
from tests.support.worked_examples import EDGE_LABELS, EDGES, TEN, TEN_LABELS, random_predictions


def test_nll_and_brier_of_ten_samples() -> None:
    assert negative_log_likelihood(np.log(TEN), TEN_LABELS).mean() == pytest.approx(0.913828, abs=5e-7)
    assert brier_score(TEN, TEN_LABELS).mean() == pytest.approx(0.54362, abs=1e-12)


def test_metrics_of_ten_samples_in_percent() -> None:
    values = metrics(np.log(TEN) + 5, TEN_LABELS)  # a softmax ignores what is added to all logits
    expected = {"error": 40, "ece": 18, "ece15": 33.6, "ace": 41.8, "oe": 10.075, "ue": 3.1605, "brier": 0.54362}
    assert {name: values[name] for name in expected} == pytest.approx(expected, abs=1e-9)
    added = ["oe_plain", "ue_plain", "confidence", "num_samples"]
    assert list(values) == ["error", "ece", "ece15", "ace", "oe", "ue", "nll", "brier", *added]
    assert values["num_samples"] == 10 and isinstance(values["num_samples"], int)


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


@pytest.mark.parametrize("key", ["ece", "ece15"])
def test_ece_of_four_samples(key: str) -> None:
    """FACTS section 5: confidences .95 .95 .65 .55, correct 1 0 1 1 -> 42.5% with 10 and 15 bins."""
    confidence = np.array([0.95, 0.95, 0.65, 0.55])
    logits = np.log(np.stack([confidence, 1 - confidence], axis=1))
    assert metrics(logits, np.array([0, 1, 0, 0]))[key] == pytest.approx(42.5)


def test_every_score_of_ten_samples() -> None:
    expected = {
        "error": 40, "ece": 18, "ece15": 33.6, "ace": 41.8, "ks": 9.1, "cece": 29.8, "mce": 83, "rmsce": 43.0203,
        "oe": 10.075, "ue": 3.1605, "oe_plain": 20.6, "ue_plain": 13, "nll": 0.913828, "brier": 0.54362,
        "aurc": 27.1071,
    }  # fmt: skip
    values = scores(sums(np.log(TEN), TEN_LABELS))
    assert values == pytest.approx(expected, abs=6e-5)
    assert values["oe_plain"] + values["ue_plain"] == pytest.approx(values["ece15"])
    assert set(values) == set(SCORES)


def test_every_score_of_six_samples_on_edges() -> None:
    values = scores(sums(np.log(np.maximum(EDGES, 1e-300)), EDGE_LABELS, ece_bins=10))
    assert values["ece15"] == pytest.approx(37.7778, abs=6e-5)
    # One bin holds 1 and both .8 [lo, hi): no; .8 lies in [.8, .9), .6 in [.6, .7), .4 in [.4, .5), 1/3 in [.3, .4).
    gaps = np.array([1.0, 0.6, 0.4, 0.6, 1 / 3])  # summed over 1, twice .8, .6, .4, 1/3
    assert values["ece"] == pytest.approx(100 * gaps.sum() / 6, abs=1e-4)
    # Of 15 bins (lo, hi] one holds .4 and 1/3, which the softmax rounds up: of these two one is right.
    assert values["oe_plain"] == pytest.approx(100 * (1 + 0.6) / 6, abs=1e-4)
    assert values["ue_plain"] == pytest.approx(100 * (0.4 + 1 - 0.4 - 1 / 3) / 6, abs=1e-4)
    assert values["ue"] == pytest.approx(100 * (0.4 * 0.6 + 0.6 * 0.4) / 6, abs=1e-4)
    assert values["mce"] == pytest.approx(100, abs=1e-4) and values["error"] == 50


def test_bins_of_ece_are_an_argument() -> None:
    assert metrics(np.log(TEN), TEN_LABELS, 5)["ece"] == pytest.approx(8.2, abs=1e-9)
    assert metrics(np.log(TEN), TEN_LABELS, ece_bins=15)["oe"] == pytest.approx(14.634, abs=1e-9)
    assert metrics(np.log(TEN), TEN_LABELS, 5)["ece15"] == pytest.approx(33.6, abs=1e-9)


@given(seed=st.integers(0, 2**32 - 1), cuts=st.lists(st.integers(1, 99), min_size=1, max_size=4, unique=True))
def test_sums_of_parts_add_up(seed: int, cuts: list[int]) -> None:
    logits, labels = random_predictions(seed, 100, 5)
    borders = [0, *sorted(cuts), 100]
    parts = [sums(logits[a:b], labels[a:b]) for a, b in pairwise(borders)]
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    assert scores(total) == pytest.approx(scores(sums(logits, labels)), abs=1e-9)


def sums_of_share(ranks: Ranks) -> Sums:
    logits, labels = random_predictions(4, 101, 7)
    mine = slice(ranks.rank * 101 // ranks.world, (ranks.rank + 1) * 101 // ranks.world)
    return sums(logits[mine], labels[mine])


@pytest.mark.xdist_group("ranks")
def test_sums_of_ranks_equal_the_single_pass() -> None:
    first, second = on_ranks(2, sums_of_share)
    whole = scores(sums(*random_predictions(4, 101, 7)))
    assert scores(second + first) == pytest.approx(whole, abs=1e-9)


def test_logits_are_taken_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    logits, labels = random_predictions(0, 50, 6)
    whole = scores(sums(logits, labels))
    monkeypatch.setattr("pipeline.calibration.scores.AT_ONCE", 40)
    assert scores(sums(logits, labels)) == pytest.approx(whole, abs=1e-10)
    assert scores(sums(logits.astype(np.float16), labels)) == pytest.approx(whole, rel=0.2, abs=1)


@given(st.integers(0, 2**32 - 1))
def test_top5_error_is_that_of_a_stable_sort(seed: int) -> None:
    """Integer logits tie often; of equal ones the class of the lowest number comes first, as argmax says."""
    generator = np.random.default_rng(seed)
    logits, labels = generator.integers(0, 4, (40, 7)).astype(np.float64), generator.integers(0, 7, 40)
    ranked = np.argsort(-logits, axis=1, kind="stable")
    wrong = [label not in order[:5] for order, label in zip(ranked, labels, strict=True)]
    found = metrics(logits, labels)
    assert found["error_top5"] == pytest.approx(100 * np.mean(wrong))
    assert found["confidence"] == pytest.approx(100 * (np.exp(logits).max(1) / np.exp(logits).sum(1)).mean())
    assert "error_top5" not in metrics(logits[:, :5], labels % 5)
