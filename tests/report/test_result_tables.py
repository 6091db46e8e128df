"""The tables of a report follow from its numbers."""

from dataclasses import replace

from pipeline.report.records import Detection, OodReport, PostHocReport, PostHocResult
from pipeline.report.result_tables import POST_HOC, by_bins, differences, glossary, ood, overview, post_hoc, scores
from tests.support.report_records import difference_report, run_report


def test_scores_within_the_floor_are_marked() -> None:
    marked = {row[0]: row[1] for row in scores(run_report(ece=1.99)).rows}
    assert marked["ECE (%)"] == "1.99°" and marked["Error (%)"] == "1.99" and marked["NLL"] == "1.990"
    table = scores(run_report(ece=2.01))
    assert table.rows[1] == ("ECE (%)", "2.01", "1.01 to 3.01", "1.00", "2.00")
    assert table.header[3:] == ("simulated floor", "its 97.5% quantile")


def test_differences_are_signed_and_clear_ones_marked() -> None:
    table = differences([difference_report(-1.5, -2, -1), difference_report(0.5, -0.25, 1)])
    assert table.rows[1] == ("ECE (%)", "−1.50*", "−2.00 to −1.00", "+0.50", "−0.25 to +1.00")
    assert table.header == ("", "b", "95% interval", "b", "95% interval")


def test_overview_has_a_row_a_run() -> None:
    table = overview([run_report("a"), run_report("b", ece=7)])
    assert [row[0] for row in table.rows] == ["a", "b"] and table.rows[1][2] == "7.00"
    assert table.header[-1] == "simulated floor of ECE, 97.5% quantile" and table.rows[1][-1] == "2.00"


def test_post_hoc_shows_the_scores_before_and_after() -> None:
    methods = {
        "none": PostHocResult(fitted="", scores=dict.fromkeys(POST_HOC, 5)),
        "temperature": PostHocResult(fitted="T = 2.000", scores=dict.fromkeys(POST_HOC, 1)),
    }
    table = post_hoc(PostHocReport(source="a share", fitted_on=10, scored_on=40, methods=methods))
    assert [row[0] for row in table.rows] == ["before", "temperature (T = 2.000)"]
    assert [row[2] for row in table.rows] == ["5.00", "1.00"]


def test_ood_has_a_row_a_run_and_kind_of_image() -> None:
    detection = {name: Detection(auroc=90, fpr95=20) for name in ("max-softmax", "entropy", "energy")}
    runs = [replace(run_report(name), ood={"svhn": OodReport(1500, detection)}) for name in "ab"]
    table = ood(runs)
    assert [row[0] for row in table.rows] == ["a, svhn (1,500)", "b, svhn (1,500)"]
    assert table.header[1:3] == ("max-softmax AUROC", "max-softmax FPR95") and table.rows[0][1:3] == ("90.0", "20.0")
    assert ood(runs[:1]).rows[0][0] == "svhn (1,500)"


def test_ece_has_a_column_a_number_of_bins() -> None:
    assert by_bins([run_report()]).header == ("", "10 bins", "15 bins")
    assert by_bins([run_report()]).rows == (("a", "5.00", "6.00"),)


def test_glossary_says_which_floor_and_how_many_bins() -> None:
    meanings = dict(glossary(20).rows)
    assert "20 equal bins" in meanings["ECE"] and "simulated test sets" in meanings["Simulated floor"]
