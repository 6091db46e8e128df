"""The sentences of a report follow from its numbers."""

import pytest

from pipeline.report.verdicts import notes, subtitle, verdicts
from tests.support.report_records import difference_report, report_of, run_report


@pytest.mark.parametrize(
    ("over", "under", "words"), [(5.0, 0.0, "too high by 5.00 points"), (1.0, 4.0, "too low by 3.00 points")]
)
def test_verdict_names_the_direction(over: float, under: float, words: str) -> None:
    (sentence,) = verdicts(report_of(run_report(over=over, under=under)))
    assert words in sentence and "miscalibrated; chance alone would give at most 2.00%" in sentence


def test_verdict_says_where_errors_of_both_signs_cancel() -> None:
    words = "those too high and those too low largely cancel"
    for over, under, cancels in ((5.0, 0.0, False), (3.8, 1.2, False), (2.6, 2.4, True), (2.4, 2.6, True)):
        (sentence,) = verdicts(report_of(run_report(over=over, under=under)))
        assert (words in sentence) == cancels


def test_a_score_within_the_floor_is_no_evidence() -> None:
    (sentence,) = verdicts(report_of(run_report(ece=1.99)))
    assert "no evidence of miscalibration" in sentence and "too high" not in sentence


def test_a_difference_that_may_be_chance_is_said_to_be() -> None:
    runs = run_report("a"), run_report("b")
    clear = verdicts(report_of(*runs, differences=(difference_report(-1.5, -2, -1),)))[-1]
    assert "1.50 points lower than that of a" in clear and "which may be chance" not in clear
    unclear = verdicts(report_of(*runs, differences=(difference_report(0.5, -0.25, 1),)))[-1]
    assert "0.50 points higher" in unclear and "which may be chance" in unclear


def test_subtitle_and_notes() -> None:
    assert subtitle(run_report()) == "1,234 test images of 10 classes, EMA weights of step 3,000"
    assert notes([run_report(), run_report("b", note="no data")]) == ["b: no figures of images: no data"]
