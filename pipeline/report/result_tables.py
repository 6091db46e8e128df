"""The tables of a report."""

from collections.abc import Callable, Sequence
from html import escape

from pipeline.report.glossary import SCORES, formatted
from pipeline.report.ood import OOD_SCORES
from pipeline.report.page import copyable
from pipeline.report.records import DifferenceReport, OodReport, PostHocReport, RunReport, ScoreDifference
from pipeline.report.tables import Table, table
from pipeline.report.verdicts import interval_text, signed

OVERVIEW = ("error", "ece", "ece15", "ace", "ks", "nll", "brier")
POST_HOC = ("error", "ece", "ece15", "ace", "cece", "nll", "brier")
NO_CALIBRATION_ERROR = ("error", "nll", "brier", "aurc")  # below their floor they say nothing of calibration
FLOOR_MEANING = (
    "mean and 97.5% quantile of a score over simulated test sets whose labels are drawn from the model's own "
    "probabilities: what a perfectly calibrated model would score"
)


def scores(run: RunReport) -> Table:
    """Every score of one run with its interval and its simulated floor."""
    rows = []
    for name, score in run.scores.items():
        within = name not in NO_CALIBRATION_ERROR and score.value <= score.floor_high
        value, floor, high = (formatted(name, number) for number in (score.value, score.floor, score.floor_high))
        rows.append([_title(name), value + ("°" if within else ""), interval_text(name, score), floor, high])
    return table(("", "score", "95% interval", "simulated floor", "its 97.5% quantile"), rows)


def overview(runs: Sequence[RunReport]) -> Table:
    """The main scores of all runs."""
    header = ("", *map(_title, OVERVIEW), "simulated floor of ECE, 97.5% quantile")
    rows = []
    for run in runs:
        values = [formatted(name, run.scores[name].value) for name in OVERVIEW]
        rows.append([run.name, *values, formatted("ece", run.scores["ece"].floor_high)])
    return table(header, rows)


def differences(each: Sequence[DifferenceReport]) -> Table:
    """Scores by row, runs by column."""
    rows = []
    for name in SCORES:
        cells = [one.scores[name] for one in each]
        rows.append([_title(name), *(text for cell in cells for text in _difference_cells(name, cell))])
    return table(("", *(text for one in each for text in (one.other, "95% interval"))), rows)


def _difference_cells(name: str, cell: ScoreDifference) -> tuple[str, str]:
    value = signed(formatted(name, cell.difference)) + ("*" if cell.is_clear else "")
    return value, interval_text(name, cell, signed_ends=True)


def post_hoc(found: PostHocReport) -> Table:
    """The main scores before and after each method."""
    rows = []
    for method, result in found.methods.items():
        name = "before" if method == "none" else f"{method} ({result.fitted})"
        rows.append([name, *(formatted(score, result.scores[score]) for score in POST_HOC)])
    return table(("", *map(_title, POST_HOC)), rows)


def ood(runs: Sequence[RunReport]) -> Table:
    """AUROC and FPR95 of each score, with one row per run and kind of image, before and after temperature scaling."""
    rows = []
    for run in runs:
        for after, kinds in (("", run.ood), (", temperature-scaled", run.ood_scaled)):
            rows += [_ood_row(run.name if len(runs) > 1 else "", kind + after, found) for kind, found in kinds.items()]
    titles = (f"{score} {measure}" for score in OOD_SCORES for measure in ("AUROC", "FPR95"))
    return table(("", *titles), rows)


def _ood_row(run: str, kind: str, found: OodReport) -> list[str]:
    name = f"{run}, {kind}" if run else kind
    pairs = [found.detection.get(score) for score in OOD_SCORES]
    cells = [f"{number:.1f}" for pair in pairs if pair for number in (pair.auroc, pair.fpr95)]
    return [f"{name} ({found.num_images:,})", *cells, *["-"] * (2 * len(pairs) - len(cells))]


def selective(runs: Sequence[RunReport]) -> Table:
    """Accuracy among the most confident predictions."""
    coverages = list(runs[0].acting.selective)
    rows = [[run.name, *(f"{run.acting.selective[coverage]:.2f}" for coverage in coverages)] for run in runs]
    return table(("accuracy (%) at a coverage of", *(f"{coverage}%" for coverage in coverages)), rows)


def accept(run: RunReport) -> Table:
    """Thresholds by the precision that they promise."""
    rows = []
    for each in run.acting.accept:
        found = "none" if each.threshold is None else f"{each.threshold:.6f}"
        share = f"{each.accepted_share:.1%}" if each.threshold is not None else "-"
        needed = "-" if each.threshold is not None else f"{each.labels_needed:,}" if each.labels_needed else "no number"
        rows.append([f"right in {each.precision:.0%}", found, share, f"{each.wrong} of {each.accepted:,}", needed])
    return table(("", "threshold", "accepted", "wrong among those tested", "labels needed"), rows)


def sets(run: RunReport) -> Table:
    """Coverage and sizes of prediction sets."""
    rows = [
        [
            f"{each.method.upper()}, {each.wanted:.0f}%",
            *(f"{number:.2f}" for number in (each.coverage, each.size)),
            *(f"{number:.1f}" for number in (each.single, each.empty)),
        ]
        for each in run.acting.sets
    ]
    return table(("", "coverage (%)", "mean size", "of one class (%)", "empty (%)"), rows)


def piece(runs: Sequence[RunReport]) -> Table:
    """PIECE of the runs that have one, before and after the temperatures; "-" where none was fitted."""
    ways = {"none": "before", "temperature": "temperature", "temperature-by-ece": "temperature by ECE"}
    rows = []
    for run in runs:
        rows.append([run.name, *(formatted("ece", run.piece[way]) if way in run.piece else "-" for way in ways)])
    return table(("PIECE (%)", *ways.values()), rows)


def by_bins(runs: Sequence[RunReport]) -> Table:
    """ECE over several numbers of bins."""
    numbers = list(runs[0].ece_by_bins)
    rows = [[run.name, *(formatted("ece", run.ece_by_bins[bins]) for bins in numbers)] for run in runs]
    return table(("", *(f"{bins} bins" for bins in numbers)), rows)


def glossary(bins: int) -> Table:
    """What each score means, with `bins` of `ece`, and what the simulated floor is."""
    rows = [[score.title, score.meaning.format(bins=bins)] for score in SCORES.values()]
    return table(("score", "meaning and source"), [*rows, ["Simulated floor", FLOOR_MEANING]])


def under_names(runs: Sequence[RunReport], of: Callable[[RunReport], Table]) -> str:
    """The table `of` each run as HTML, under its name where there are several runs."""
    names = [f"<h3>{escape(run.name)}</h3>" if len(runs) > 1 else "" for run in runs]
    return "".join(name + copyable(of(run)) for name, run in zip(names, runs, strict=True))


def _title(name: str) -> str:
    score = SCORES[name]
    return f"{score.title} ({score.unit})" if score.unit else score.title
