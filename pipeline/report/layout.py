"""The page of a report: which sections it has, in which order, and what stands in each."""

from collections.abc import Sequence

from pipeline.report import result_tables, verdicts
from pipeline.report.figures import ReportFigure
from pipeline.report.page import Section, copyable, figure_grid, page, words
from pipeline.report.records import PostHocReport, Report, RunReport


def report_page(report: Report, figures: Sequence[ReportFigure]) -> str:
    """index.html."""
    runs, several = report.runs, len(report.runs) > 1
    sections = [*_score_sections(report), *_figure_sections(figures)]
    if several:
        body = result_tables.under_names(runs, result_tables.scores)
        sections.append(Section("All scores, with intervals and floors", verdicts.HOW_TO_READ, body))
    sections += _more_sections(runs)
    sections.append(Section("What the scores mean", body=words(result_tables.glossary(runs[0].ece_bins))))
    return page(
        "Calibration report: " + (f"{len(runs)} runs" if several else runs[0].name),
        [verdicts.subtitle(runs[0]), *verdicts.notes(runs)],
        verdicts.verdicts(report),
        sections,
        f"calibratemix {report.version}; {report.resampling.draws:,} bootstrap draws, "
        f"{report.resampling.floor_draws:,} draws of the simulated floor",
    )


def _score_sections(report: Report) -> list[Section]:
    """At the top: all scores of a single run; of several runs the main scores, and differences."""
    if len(report.runs) == 1:
        return [Section("Scores", verdicts.HOW_TO_READ, copyable(result_tables.scores(report.runs[0])))]
    text = verdicts.differences_text(report.differences[0].first)
    return [
        Section("Scores", body=copyable(result_tables.overview(report.runs))),
        Section("Differences", text, copyable(result_tables.differences(report.differences))),
    ]


def _figure_sections(figures: Sequence[ReportFigure]) -> list[Section]:
    titles = dict.fromkeys(figure.section for figure in figures)
    return [
        Section(title, body=figure_grid([figure for figure in figures if figure.section == title])) for title in titles
    ]


def _more_sections(runs: Sequence[RunReport]) -> list[Section]:
    sections = []
    fitted = [run for run in runs if run.post_hoc]
    if fitted:
        text = verdicts.post_hoc_text(_post_hoc(fitted[0]))
        body = result_tables.under_names(fitted, lambda run: result_tables.post_hoc(_post_hoc(run)))
        sections.append(Section("Post-hoc calibration", text, body))
    sections += _acting_sections(runs)
    if any(run.ood for run in runs):
        sections.append(Section("Out-of-distribution detection", verdicts.OOD_TEXT, copyable(result_tables.ood(runs))))
    if near := [run for run in runs if run.piece]:
        sections.append(Section("Calibration by proximity", verdicts.PIECE_TEXT, copyable(result_tables.piece(near))))
    sections.append(Section("ECE by number of bins", verdicts.BINS_TEXT, copyable(result_tables.by_bins(runs))))
    return sections


def _acting_sections(runs: Sequence[RunReport]) -> list[Section]:
    body = copyable(result_tables.selective(runs))
    for part, title in ((result_tables.accept, "Thresholds"), (result_tables.sets, "Prediction sets")):
        known = [run for run in runs if run.acting.calibrated_on]
        body += f"<h3>{title}</h3>{result_tables.under_names(known, part)}" if known else ""
    return [Section("Acting on confidence", verdicts.ACTING_TEXT, body)]


def _post_hoc(run: RunReport) -> PostHocReport:
    assert run.post_hoc is not None
    return run.post_hoc
