"""The words of a report follow from its numbers."""

from typing import Any

import pytest

from pipeline.report.results import differences, notes, overview, scores, subtitle, verdicts
from pipeline.report.scores import SCORES


def facts(
    name: str = "a", ece: float = 5.0, high: float = 2.0, over: float = 5.0, under: float = 0.0
) -> dict[str, Any]:
    """A run whose scores are all `ece`, with their floor, and over- and underconfidence of `over` and `under`."""
    score = {"value": ece, "low": ece - 1, "high": ece + 1, "floor": high / 2, "floor_high": high}
    found = {key: dict(score) for key in SCORES}
    found["oe_plain"]["value"], found["ue_plain"]["value"] = over, under
    return {
        "name": name,
        "scores": found,
        "num_samples": 1234,
        "num_classes": 10,
        "weights": "ema",
        "step": 3000,
        "note": "",
    }


def change(value: float, low: float, high: float) -> dict[str, Any]:
    return {"from": "a", "to": "b", "scores": {key: {"difference": value, "low": low, "high": high} for key in SCORES}}


@pytest.mark.parametrize(
    ("over", "under", "words"), [(5.0, 0.0, "too high by 5.00 points"), (1.0, 4.0, "too low by 3.00 points")]
)
def test_verdict_names_the_direction(over: float, under: float, words: str) -> None:
    (sentence,) = verdicts({"runs": [facts(over=over, under=under)], "differences": []})
    assert words in sentence and "miscalibrated; chance alone would give at most 2.00%" in sentence


def test_verdict_says_where_errors_of_both_signs_cancel() -> None:
    words = "those too high and those too low cancel"
    for over, under, cancels in ((5.0, 0.0, False), (3.8, 1.2, False), (2.6, 2.4, True), (2.4, 2.6, True)):
        (sentence,) = verdicts({"runs": [facts(over=over, under=under)], "differences": []})
        assert (words in sentence) == cancels


def test_score_within_the_floor_is_no_evidence() -> None:
    (sentence,) = verdicts({"runs": [facts(ece=1.99)], "differences": []})
    assert "no evidence of miscalibration" in sentence and "too high" not in sentence
    marked = {row[0]: row[1] for row in scores(facts(ece=1.99)).rows}
    assert marked["ECE (%)"] == "1.99°" and marked["Error (%)"] == "1.99" and marked["NLL"] == "1.990"
    assert scores(facts(ece=2.01)).rows[1][1] == "2.01"


def test_differences_are_signed_and_clear_ones_marked() -> None:
    table = differences([change(-1.5, -2, -1), change(0.5, -0.25, 1)])
    assert table.rows[1] == ("ECE (%)", "−1.50*", "−2.00 to −1.00", "+0.50", "−0.25 to +1.00")
    several = {"runs": [facts("a"), facts("b")]}
    assert "which may be chance" not in verdicts({**several, "differences": [change(-1.5, -2, -1)]})[-1]
    assert "1.50 points lower than of a" in verdicts({**several, "differences": [change(-1.5, -2, -1)]})[-1]
    assert "which may be chance" in verdicts({**several, "differences": [change(0.5, -0.25, 1)]})[-1]


def test_overview_has_a_row_a_run() -> None:
    table = overview([facts("a"), facts("b", ece=7)])
    assert [row[0] for row in table.rows] == ["a", "b"] and table.rows[1][2] == "7.00"


def test_subtitle_and_notes() -> None:
    assert subtitle(facts()) == "1,234 test images of 10 classes, EMA weights of step 3,000"
    assert notes([facts(), {**facts("b"), "note": "no data"}]) == ["b: no figures of images: no data"]
