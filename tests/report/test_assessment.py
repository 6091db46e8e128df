"""The numbers of a report: intervals and floors from draws, differences in pairs, and what post-hoc scores are of."""

import numpy as np
import pytest

from pipeline.calibration import scores as calibration
from pipeline.calibration.scores import scores, sums
from pipeline.report.assessment import Assessment, difference, held_out_share, post_hoc
from pipeline.report.posthoc import fit_isotonic
from pipeline.report.scores import SCORES
from tests.support.reports import predictions


def assessment(value: float, low: float, high: float) -> Assessment:
    """All scores are `value`, drawn evenly from `low` to `high`; the floor goes from 0 to 10."""
    drawn = {name: np.linspace(low, high, 41) for name in SCORES}
    return Assessment(dict.fromkeys(SCORES, value), drawn, {name: np.linspace(0, 10, 41) for name in SCORES})


def test_a_row_is_the_score_its_mirrored_interval_and_its_floor() -> None:
    row = assessment(5, 4, 8).rows()["ece"]
    assert row == pytest.approx({"value": 5, "low": 2.1, "high": 5.9, "floor": 5, "floor_high": 9.75})


def test_intervals_stay_within_what_a_score_can_be() -> None:
    wide = assessment(1.5, -200, 200).rows()
    assert {name: (row["low"], row["high"]) for name, row in wide.items() if name not in ("nll", "brier")} == {
        name: (0, 100) for name in SCORES if name not in ("nll", "brier")
    }
    assert (wide["brier"]["low"], wide["brier"]["high"]) == (0, 2) and wide["nll"]["high"] == pytest.approx(193)


def test_differences_are_second_minus_first_and_paired() -> None:
    change = difference(assessment(5, 4, 8), assessment(3, 2, 6))
    assert change["ece"] == pytest.approx({"difference": -2, "low": -2, "high": -2})  # every draw differs by 2
    wide = difference(assessment(0, 0, 0), assessment(0, -300, 300))["mce"]
    assert (wide["low"], wide["high"]) == (-100, 100)


def test_post_hoc_scores_are_of_all_rows_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Logits are mapped a few rows at a time to save memory; nothing else may come of it."""
    logits, labels = predictions(0, factor=3)
    held_out = held_out_share(logits, labels, 0.5, 0)
    whole = post_hoc(logits, labels, held_out, ("isotonic",), 10)["methods"]["isotonic"]
    mapped = fit_isotonic(held_out.logits, held_out.labels).apply(logits[held_out.scored])
    assert {"fitted": whole["fitted"], **scores(sums(mapped, labels[held_out.scored]))} == whole
    monkeypatch.setattr(calibration, "AT_ONCE", 4 * 7)
    assert post_hoc(logits, labels, held_out, ("isotonic",), 10)["methods"]["isotonic"] == pytest.approx(whole)
