"""Puts a report together: measures, draws, and writes index.html, report.json, PNG and PDF files."""

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from pipeline.calibration.scores import softmax
from pipeline.report.acting import acting_on
from pipeline.report.assessment import (
    Assessment,
    assess,
    differences,
    ece_by_bins,
    out_of_distribution,
    pieces,
    post_hoc,
    temperature_scaled,
    walks_of,
)
from pipeline.report.calibrating import keep_calibration
from pipeline.report.ensemble import with_ensemble
from pipeline.report.figures import ReportFigure, figures_of_all, figures_of_run, figures_of_walks, numbered
from pipeline.report.held_out import WITHOUT_VALIDATION, HeldOut, hold_out, hold_out_validation
from pipeline.report.hull_walk import walk_csv
from pipeline.report.inputs import Inputs
from pipeline.report.layout import report_page
from pipeline.report.options import ReportOptions
from pipeline.report.plots_confidence import lacking_confidence
from pipeline.report.records import DifferenceReport, Report, RunReport, report_json
from pipeline.report.subjects import Subject, subject_of_file
from pipeline.report.verdicts import notes
from pipeline.runs.files import write_atomically


def write_report(options: ReportOptions, inputs: Inputs) -> tuple[Path, list[str]]:
    """Writes the report folder; returns its page, and what it lacks. ValueError of one line for a user's mistake."""
    subjects = _subjects(options, inputs)
    held_out = _held_out(subjects, options, inputs)  # before the draws, since it may find a mistake
    assessments = [assess(of.predictions, options.resampling) for of in subjects]
    runs = [
        _run_report(of, assessment, held, options)
        for of, assessment, held in zip(subjects, assessments, held_out, strict=True)
    ]
    walks = {run.name: run.walks for run in runs if run.walks}
    figures = [*_figures(subjects), *figures_of_walks(walks)]
    report = Report(
        version=version("calibratemix"),
        resampling=options.resampling,
        runs=runs,
        differences=_differences(runs, assessments),
        figures=[figure.slug for figure in figures],
    )
    page = _write(inputs.folder, report, figures)
    if walks:
        write_atomically(inputs.folder / "hull-walk.csv", walk_csv(walks))
    kept = _keep_calibrations(subjects[: len(inputs.runs)], held_out)
    return page, [*notes(runs), *lacking_confidence([(of.name, of.log) for of in subjects]), *kept]


def _keep_calibrations(runs: Sequence[Subject], held_out: Sequence[HeldOut | None]) -> list[str]:
    """calibration.json of each run folder whose temperature was fitted; one line for each that cannot be written."""
    pairs = [(of.predictions, held) for of, held in zip(runs, held_out, strict=False) if held]
    return [line for of, held in pairs if of.path.is_dir() and (line := keep_calibration(of, held))]


def _subjects(options: ReportOptions, inputs: Inputs) -> list[Subject]:
    if all(given.is_file for given in inputs.runs):
        return with_ensemble([subject_of_file(given, inputs) for given in inputs.runs], inputs)
    from pipeline.report.networks import subjects_with_networks  # torch and FFCV, which prediction files do not need

    return with_ensemble(subjects_with_networks(inputs, options), inputs)


def _held_out(subjects: Sequence[Subject], options: ReportOptions, inputs: Inputs) -> list[HeldOut | None]:
    """For each subject; unless the user says otherwise, validation images, where all the given runs kept some apart."""
    each = [of.predictions for of in subjects]
    if inputs.fit_on is None and all(of.unseen for of in each[: len(inputs.runs)]):
        return [hold_out_validation(of) for of in each]
    fit_on = WITHOUT_VALIDATION if inputs.fit_on is None else inputs.fit_on
    return [hold_out(fit_on, of.logits, of.labels, options.resampling.seed) for of in each]


def _run_report(of: Subject, assessment: Assessment, held_out: HeldOut | None, options: ReportOptions) -> RunReport:
    predictions = of.predictions
    scaled = temperature_scaled(held_out) if held_out else None
    return RunReport(
        name=of.name,
        path=str(predictions.path),
        weights=predictions.settings.weights or None,
        step=predictions.step,
        num_samples=len(predictions.labels),
        num_classes=predictions.logits.shape[1],
        ece_bins=predictions.settings.ece_bins,
        scores=assessment.estimates(),
        ece_by_bins=ece_by_bins(predictions.sums),
        post_hoc=post_hoc(predictions, held_out, options.methods) if held_out else None,
        ood=out_of_distribution(predictions.logits, of.ood_logits),
        ood_scaled=out_of_distribution(predictions.logits, of.ood_logits, scaled) if scaled else {},
        walks=walks_of(of.walk, scaled) if of.walk else {},
        note=of.note,
        acting=acting_on(predictions, held_out, options.resampling.seed),
        piece={} if of.proximity is None else pieces(predictions, of.proximity, held_out),
    )


def _differences(runs: Sequence[RunReport], assessments: Sequence[Assessment]) -> list[DifferenceReport]:
    """Every run but the first against the first."""
    return [
        DifferenceReport(first=runs[0].name, other=run.name, scores=differences(assessments[0], assessment))
        for run, assessment in zip(runs[1:], assessments[1:], strict=True)
    ]


def _figures(subjects: Sequence[Subject]) -> list[ReportFigure]:
    found = []
    for number, of in enumerate(subjects, 1):
        confidences = {name: softmax(logits.astype(float)).max(axis=1) for name, logits in of.ood_logits.items()}
        found += numbered(list(figures_of_run(of, confidences)), number, len(subjects))
    return found + list(figures_of_all(subjects))


def _write(folder: Path, report: Report, figures: Sequence[ReportFigure]) -> Path:
    """Every file of the report; returns its page."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"{folder}: cannot be made ({error.strerror}); choose another folder with --out") from error
    for figure in figures:
        write_atomically(folder / f"{figure.slug}.png", figure.png)
        write_atomically(folder / f"{figure.slug}.pdf", figure.pdf())
    write_atomically(folder / "report.json", report_json(report))
    write_atomically(folder / "index.html", report_page(report, figures))
    return folder / "index.html"
