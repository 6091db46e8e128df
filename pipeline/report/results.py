"""The words and tables of a report, from the plain values of report.json."""

from collections.abc import Callable, Sequence
from html import escape
from typing import Any

from pipeline.report.page import copyable
from pipeline.report.scores import SCORES, formatted
from pipeline.report.tables import Table, table

Facts = dict[str, Any]
OVERVIEW = ("error", "ece", "ece15", "ace", "ks", "nll", "brier")
AFTER = ("error", "ece", "ece15", "ace", "cece", "nll", "brier")

HOW_TO_READ = (
    "Interval: where the score of very many such images would lie, with 95% confidence (bootstrap). Calibration errors "
    "of few images come out too high; the interval takes that off and can lie below the score.",
    "Floor: what a perfectly calibrated model with the same confidences would score on as many images, on average and "
    "at most (97.5%). A score below the latter, marked °, is no evidence of miscalibration. Of error, NLL, Brier and "
    "AURC it is what the confidences promise. All scores are better when lower.",
)
OOD_TEXT = (
    "How well a score tells the test images from others. AUROC: the chance that a test image scores higher (50%: not "
    "at all, 100%: always). FPR95: the share of the others that pass where 95% of the test images do; lower is better.",
)
BINS_TEXT = (
    "ECE over so many equal bins. Where the columns differ, the number says more about bins than about the model.",
)


def subtitle(run: Facts) -> str:
    """What was measured."""
    weights = f", {run['weights'].replace('ema', 'EMA')} weights" if run["weights"] else ""
    step = f" of step {run['step']:,}" if run["step"] is not None else ""
    return f"{run['num_samples']:,} test images of {run['num_classes']:,} classes{weights}{step}"


def notes(runs: Sequence[Facts]) -> list[str]:
    """What the report lacks, and why."""
    return [f"{run['name']}: no figures of images: {run['note']}" for run in runs if run["note"]]


def verdicts(facts: Facts) -> list[str]:
    """One sentence a run, and one a comparison."""
    several = len(facts["runs"]) > 1
    found = [(f"{run['name']}: " if several else "") + _verdict(run) for run in facts["runs"]]
    return found + [_difference_verdict(each) for each in facts["differences"]]


def _verdict(run: Facts) -> str:
    ece, plain = run["scores"]["ece"], run["scores"]["oe_plain"]["value"] - run["scores"]["ue_plain"]["value"]
    score = f"ECE {ece['value']:.2f}% at {run['scores']['error']['value']:.2f}% error"
    if ece["value"] <= ece["floor_high"]:
        return f"{score}: no evidence of miscalibration; chance alone gives up to {ece['floor_high']:.2f}% here."
    side = "too high" if plain > 0 else "too low"
    # Where errors of both signs cancel, the average alone would sound like good news.
    mixed = "; those too high and those too low cancel" if abs(plain) < ece["value"] / 2 else ""
    return (
        f"{score}: miscalibrated; chance alone would give at most {ece['floor_high']:.2f}%. "
        f"Confidences are {side} by {abs(plain):.2f} points on average{mixed}."
    )


def _difference_verdict(each: Facts) -> str:
    ece = each["scores"]["ece"]
    words = "lower" if ece["difference"] < 0 else "higher"
    clear = "" if is_clear(ece) else ", which may be chance"
    return (
        f"ECE of {each['to']} is {abs(ece['difference']):.2f} points {words} than of {each['from']} "
        f"(95% interval of the difference {_range('ece', ece, signed=True)}){clear}. "
        "This is about these networks on these images; another seed is another network."
    )


def is_clear(score: Facts) -> bool:
    """The interval of a difference does not hold 0."""
    return bool(score["low"] > 0 or score["high"] < 0)


def scores(run: Facts) -> Table:
    """Every score of one run with interval and floor."""
    rows = []
    for name, score in run["scores"].items():
        value = formatted(name, score["value"])
        within = name not in ("error", "nll", "brier", "aurc") and score["value"] <= score["floor_high"]
        floor, high = (formatted(name, score[key]) for key in ("floor", "floor_high"))
        rows.append([_title(name), value + ("°" if within else ""), _range(name, score), floor, high])
    return table(("", "score", "95% interval", "floor", "97.5%"), rows)


def overview(runs: Sequence[Facts]) -> Table:
    """The main scores of all runs."""
    header = ("", *map(_title, OVERVIEW), "ECE floor, 97.5%")
    rows = []
    for run in runs:
        values = [formatted(name, run["scores"][name]["value"]) for name in OVERVIEW]
        rows.append([run["name"], *values, formatted("ece", run["scores"]["ece"]["floor_high"])])
    return table(header, rows)


def differences_text(first: str) -> tuple[str, ...]:
    """How to read the table of differences."""
    return (
        f"Each run minus {first}, on the same test images; below 0 is better. 95% paired bootstrap interval; a "
        "difference whose interval does not hold 0 is marked *.",
    )


def differences(each: Sequence[Facts]) -> Table:
    """Scores by row, runs by column."""
    rows = []
    for name in SCORES:
        cells = [one["scores"][name] for one in each]
        rows.append([_title(name), *(text for cell in cells for text in _difference_cells(name, cell))])
    return table(("", *(text for one in each for text in (one["to"], "95% interval"))), rows)


def _difference_cells(name: str, cell: Facts) -> tuple[str, str]:
    value = _signed(formatted(name, cell["difference"])) + ("*" if is_clear(cell) else "")
    return value, _range(name, cell, signed=True)


def post_hoc_text(run: Facts) -> tuple[str, ...]:
    """How the methods were fitted."""
    found = run["post_hoc"]
    return (
        f"Fitted on {found['fitted_on']:,} predictions: {found['source']}. Before and after are scores of the other "
        f"{found['scored_on']:,} test images.",
    )


def post_hoc(run: Facts) -> Table:
    """Before and after each method."""
    rows = []
    for method, after in run["post_hoc"]["methods"].items():
        name = "before" if method == "none" else f"{method} ({after['fitted']})"
        rows.append([name, *(formatted(score, after[score]) for score in AFTER)])
    return table(("", *map(_title, AFTER)), rows)


def ood(runs: Sequence[Facts]) -> Table:
    """AUROC and FPR95 of each score, one row a run and kind of image."""
    rows = []
    for run in runs:
        for kind, found in run["ood"].items():
            name = f"{run['name']}, {kind}" if len(runs) > 1 else kind
            pairs = [found[score] for score in ("max-softmax", "entropy", "energy")]
            cells = [f"{pair[key]:.1f}" for pair in pairs for key in ("auroc", "fpr95")]
            rows.append([f"{name} ({found['num_images']:,})", *cells])
    titles = (f"{score} {key}" for score in ("max-softmax", "entropy", "energy") for key in ("AUROC", "FPR95"))
    return table(("", *titles), rows)


def by_bins(runs: Sequence[Facts]) -> Table:
    """ECE over several numbers of bins."""
    bins = list(runs[0]["ece_by_bins"])
    rows = [[run["name"], *(formatted("ece", run["ece_by_bins"][count]) for count in bins)] for run in runs]
    return table(("", *(f"{count} bins" for count in bins)), rows)


def glossary(bins: int) -> Table:
    """What each score means."""
    rows = [[score.title, score.meaning.format(bins=bins)] for score in SCORES.values()]
    return table(("score", "meaning and source"), rows)


def under_names(runs: Sequence[Facts], of: Callable[[Facts], Table]) -> str:
    """The table `of` each run as HTML, under its name where there are several runs."""
    names = [f"<h3>{escape(run['name'])}</h3>" if len(runs) > 1 else "" for run in runs]
    return "".join(name + copyable(of(run)) for name, run in zip(names, runs, strict=True))


def _title(name: str) -> str:
    score = SCORES[name]
    return f"{score.title} ({score.unit})" if score.unit else score.title


def _range(name: str, score: Facts, signed: bool = False) -> str:
    ends = [formatted(name, score[key]) for key in ("low", "high")]
    return f"{_signed(ends[0])} to {_signed(ends[1])}" if signed else f"{ends[0]} to {ends[1]}"


def _signed(number: str) -> str:
    """With a sign a reader sees: a real minus, and a plus."""
    if float(number) == 0:
        return number.lstrip("-")
    return "−" + number[1:] if number.startswith("-") else "+" + number
