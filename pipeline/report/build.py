"""Puts a report together: reads the runs, measures, draws, and writes index.html, report.json, PNG and PDF files."""

import json
import os
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pipeline import distributed
from pipeline.calibration.scores import softmax
from pipeline.distributed import Ranks
from pipeline.report import results as report_tables
from pipeline.report.assessment import (
    Assessment,
    Effort,
    HeldOut,
    assess,
    by_bins,
    difference,
    held_out_file,
    held_out_share,
    out_of_distribution,
    post_hoc,
)
from pipeline.report.figures import Shown, figures_of_all, figures_of_run, numbered
from pipeline.report.guesses import guesses
from pipeline.report.page import Section, copyable, figures, page, words
from pipeline.report.subjects import Source, Subject, checked, foreign_logits, read_subjects
from pipeline.runs.files import write_atomically
from pipeline.runs.read import read_predictions


@dataclass(frozen=True)
class Options:
    """The command line of evaluate.py."""

    runs: tuple[Path, ...]
    data: str | None = None
    weights: str | None = None
    checkpoint: int | None = None
    foreign: tuple[str, ...] = ()
    calibration_split: str = "0.2"
    methods: tuple[str, ...] = ("temperature", "vector", "isotonic")
    images: int = 5000
    out: Path | None = None
    effort: Effort = field(default_factory=Effort)


@dataclass(frozen=True)
class Measured:
    """Everything about one run: what report.json says, and what differences are taken of."""

    subject: Subject
    assessment: Assessment
    facts: dict[str, Any]
    shown: list[Shown]


def write_report(options: Options) -> tuple[Path, list[str]]:
    """Writes the report folder; returns its page, and what it lacks. ValueError of one line for a user's mistake."""
    ranks = distributed.start()
    try:
        measured, shared = _measure(options, ranks)
    finally:
        distributed.stop()
    differences = [
        {
            "from": measured[0].subject.name,
            "to": other.subject.name,
            "scores": difference(measured[0].assessment, other.assessment),
        }
        for other in measured[1:]
    ]
    shown = [one for each in measured for one in each.shown] + shared
    facts: dict[str, Any] = {
        "version": version("calibratemix"),
        "draws": options.effort.draws,
        "floor_draws": options.effort.floor_draws,
        "seed": options.effort.seed,
        "runs": [each.facts for each in measured],
        "differences": differences,
        "figures": [one.slug for one in shown],
    }
    folder = _made(options.out or default_folder(options.runs))
    for one in shown:
        write_atomically(folder / f"{one.slug}.png", one.png)
        write_atomically(folder / f"{one.slug}.pdf", one.pdf())
    write_atomically(folder / "report.json", json.dumps(facts, indent=1))
    write_atomically(folder / "index.html", _page(measured, facts, shown))
    return folder / "index.html", report_tables.notes([each.facts for each in measured])


def _made(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"{folder}: cannot be made ({error.strerror}); choose another folder with --out") from error
    return folder


def default_folder(runs: tuple[Path, ...]) -> Path:
    """`report` in the run folder, beside a file of predictions, or in the folder that all runs share."""
    if len(runs) == 1:
        return (runs[0] if runs[0].is_dir() else runs[0].parent) / "report"
    return Path(os.path.commonpath([run.resolve().parent for run in runs])) / "report"


def _measure(options: Options, ranks: Ranks) -> tuple[list[Measured], list[Shown]]:
    needs_network = any(not name.endswith(".npz") for name in options.foreign)
    source = Source(options.data, options.weights, options.checkpoint, needs_network)
    subjects = read_subjects(options.runs, source, ranks)
    measured = []
    for number, subject in enumerate(subjects, 1):
        one = _measure_run(subject, options)
        measured.append(Measured(*one[:3], numbered(one[3], number, len(subjects))))
    return measured, list(figures_of_all(subjects))


def _measure_run(of: Subject, options: Options) -> tuple[Subject, Assessment, dict[str, Any], list[Shown]]:
    effort = options.effort
    held_out = _held_out(of, options)
    foreign = foreign_logits(of, options.foreign, effort.seed)
    assessment = assess(of.logits, of.labels, of.bins, effort)
    seen = guesses(of.restored, options.images) if of.restored and options.images > 0 else None
    facts: dict[str, Any] = {
        "name": of.name,
        "path": str(of.path),
        "weights": of.weights or None,
        "step": of.step,
        "num_samples": len(of.labels),
        "num_classes": of.logits.shape[1],
        "ece_bins": of.bins,
        "scores": assessment.rows(),
        "ece_by_bins": by_bins(of.logits, of.labels),
        "post_hoc": post_hoc(of.logits, of.labels, held_out, options.methods, of.bins) if held_out else None,
        "ood": out_of_distribution(of.logits, foreign),
        "note": of.note,
    }
    confidences = {name: softmax(logits.astype(float)).max(axis=1) for name, logits in foreign.items()}
    return of, assessment, facts, list(figures_of_run(of, confidences, seen))


def _held_out(of: Subject, options: Options) -> HeldOut | None:
    given = options.calibration_split
    if given.endswith(".npz"):
        return held_out_file(given, checked(Path(given), *read_predictions(Path(given))), of.logits)
    try:
        share = float(given)
    except ValueError:
        share = -1
    if not 0 <= share < 1:
        raise ValueError(f"--calibration-split {given}: give a share from 0 to less than 1, or an .npz file")
    return held_out_share(of.logits, of.labels, share, options.effort.seed) if share > 0 else None


def _page(measured: list[Measured], facts: dict[str, Any], shown: list[Shown]) -> str:
    runs, several = facts["runs"], len(measured) > 1
    head = report_tables.overview(runs) if several else report_tables.scores(runs[0])
    sections = [Section("Scores", () if several else report_tables.HOW_TO_READ, copyable(head))]
    if several:
        text = report_tables.differences_text(facts["differences"][0]["from"])
        sections.append(Section("Differences", text, copyable(report_tables.differences(facts["differences"]))))
    for title in dict.fromkeys(one.section for one in shown):
        sections.append(Section(title, body=figures([one for one in shown if one.section == title])))
    if several:
        body = report_tables.under_names(runs, report_tables.scores)
        sections.append(Section("All scores, with their noise", report_tables.HOW_TO_READ, body))
    sections += _more_sections(runs)
    sections.append(Section("What the scores mean", body=words(report_tables.glossary(runs[0]["ece_bins"]))))
    title = "Calibration report: " + (f"{len(measured)} runs" if several else runs[0]["name"])
    foot = f"calibratemix {facts['version']}; {facts['draws']:,} bootstrap draws, {facts['floor_draws']:,} of the floor"
    return page(
        title,
        [report_tables.subtitle(runs[0]), *report_tables.notes(runs)],
        report_tables.verdicts(facts),
        sections,
        foot,
    )


def _more_sections(runs: list[dict[str, Any]]) -> list[Section]:
    sections = []
    if any(run["post_hoc"] for run in runs):
        body = report_tables.under_names(runs, report_tables.post_hoc)
        sections.append(Section("After the fact: post-hoc calibration", report_tables.post_hoc_text(runs[0]), body))
    if any(run["ood"] for run in runs):
        table = report_tables.ood(runs)
        sections.append(Section("Images of other kinds", report_tables.OOD_TEXT, copyable(table)))
    table = report_tables.by_bins(runs)
    sections.append(Section("Does the number of bins matter?", report_tables.BINS_TEXT, copyable(table)))
    return sections
