"""The numbers of a report: intervals from draws, paired differences, and what post-hoc scores are measured on."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.calibration import scores as calibration
from pipeline.calibration.scores import metrics, scores, sums
from pipeline.report.assessment import Assessment, differences, ece_by_bins, post_hoc
from pipeline.report.glossary import SCORES
from pipeline.report.held_out import hold_out_share
from pipeline.report.posthoc import fit_isotonic
from pipeline.report.records import ScoreDifference, ScoreEstimate
from pipeline.report.simulated_floor import SimulatedFloor
from pipeline.report.verified_predictions import RunSettings, VerifiedPredictions
from tests.support.reports import predictions


def assessment(value: float, low: float, high: float) -> Assessment:
    """All scores are `value`, drawn evenly from `low` to `high`."""
    return Assessment(
        values=dict.fromkeys(SCORES, value),
        drawn={name: np.linspace(low, high, 41) for name in SCORES},
        floors=dict.fromkeys(SCORES, SimulatedFloor(mean=5, high=9.75)),
    )


def test_an_estimate_is_the_score_its_mirrored_interval_and_its_floor() -> None:
    estimates = assessment(5, 4, 8).estimates()
    assert list(estimates) == list(SCORES)
    expected = ScoreEstimate(value=5, low=2.1, high=5.9, floor=5, floor_high=9.75)
    assert vars(estimates["ece"]) == pytest.approx(vars(expected))


def test_intervals_stay_within_what_a_score_can_be() -> None:
    wide = assessment(1.5, -200, 200).estimates()
    assert {name: (each.low, each.high) for name, each in wide.items() if name not in ("nll", "brier")} == {
        name: (0, 100) for name in SCORES if name not in ("nll", "brier")
    }
    assert (wide["brier"].low, wide["brier"].high) == (0, 2) and wide["nll"].high == pytest.approx(193)


def test_differences_are_second_minus_first_and_paired() -> None:
    change = differences(assessment(5, 4, 8), assessment(3, 2, 6))
    expected = ScoreDifference(difference=-2, low=-2, high=-2)  # every draw differs by 2
    assert vars(change["ece"]) == pytest.approx(vars(expected))
    wide = differences(assessment(0, 0, 0), assessment(0, -300, 300))["mce"]
    assert (wide.low, wide.high) == (-100, 100)


def test_ece_by_bins_is_the_ece_of_as_many_bins() -> None:
    logits, labels = predictions(0, factor=3)
    found = ece_by_bins(sums(logits, labels))
    assert found == pytest.approx({bins: metrics(logits, labels, bins)["ece"] for bins in (5, 10, 15, 20, 50)})


def test_post_hoc_scores_are_of_all_rows_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Logits are mapped a few rows at a time to save memory; nothing else may come of it."""
    logits, labels = predictions(0, factor=3)
    of = VerifiedPredictions(path=Path("a.npz"), settings=RunSettings(), logits=logits, labels=labels)
    held_out = hold_out_share(0.5, logits, labels, 0)
    whole = post_hoc(of, held_out, ("isotonic",)).methods["isotonic"]
    mapped = fit_isotonic(held_out.logits, held_out.labels).apply(logits[held_out.scored])
    assert whole.scores == scores(sums(mapped, labels[held_out.scored]))
    monkeypatch.setattr(calibration, "AT_ONCE", 4 * 7)
    parts = post_hoc(of, held_out, ("isotonic",)).methods["isotonic"]
    assert parts.scores == pytest.approx(whole.scores) and parts.fitted == whole.fitted == "4 monotone curves"
