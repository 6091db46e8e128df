"""What a report says in sentences: subtitle, notes, verdicts, and how its tables are read."""

from collections.abc import Sequence

from pipeline.report.glossary import formatted
from pipeline.report.records import DifferenceReport, PostHocReport, Report, RunReport, ScoreDifference, ScoreEstimate

HOW_TO_READ = (
    "Interval: 95% bootstrap interval for the score that a very large test set of the same kind would give. With few "
    "images, calibration errors come out too high; the interval corrects for this, and can therefore lie below the "
    "score.",
    "Simulated floor: what a perfectly calibrated model with the same confidences would score on as many images, as a "
    "mean and as a 97.5% quantile. A score up to that quantile, marked °, is no evidence of miscalibration. The floor "
    "of error, NLL, Brier and AURC is the value that the confidences promise. For every score, lower is better.",
)
OOD_TEXT = (
    "How well a score tells the test images from out-of-distribution images. AUROC: the probability that a test image "
    "scores higher (50%: no separation, 100%: perfect separation). FPR95: the share of out-of-distribution images that "
    "are accepted when the threshold accepts 95% of the test images; lower is better.",
)
ACTING_TEXT = (
    "Accuracy against coverage: how many predictions are right among the most confident ones. Thresholds: confidences, "
    "after temperature scaling, from which on accepted predictions are right in the promised share, with 95% "
    "confidence; found by fixed-sequence testing from the strictest threshold down on test images that the temperature "
    "was not fitted on.",
    "Prediction sets hold the right class in the wanted share of images (split conformal prediction): LAC, the "
    "smallest on average; APS, randomised, larger for harder images. Quantiles are found on one half of those test "
    "images, coverage and sizes are measured on the other.",
)
PIECE_TEXT = (
    "ECE over 15 bins of confidence times 10 of equally many images by proximity, exp(-mean distance) to the 10 "
    "nearest labelled training images in features of unit length (Xiong et al. 2023). It is never below the ECE over "
    "15 bins: what it adds is miscalibration that differs between images near to training images and images far away.",
)
BINS_TEXT = (
    "ECE over different numbers of equal bins. Where the columns differ, the number says more about the bins than "
    "about the model.",
)


def subtitle(run: RunReport) -> str:
    """What was measured."""
    weights = f", {run.weights.replace('ema', 'EMA')} weights" if run.weights else ""
    step = f" of step {run.step:,}" if run.step is not None else ""
    return f"{run.num_samples:,} test images of {run.num_classes:,} classes{weights}{step}"


def notes(runs: Sequence[RunReport]) -> list[str]:
    """What the report lacks, and why."""
    return [f"{run.name}: no figures of images: {run.note}" for run in runs if run.note]


def verdicts(report: Report) -> list[str]:
    """One sentence per run, and one per comparison."""
    several = len(report.runs) > 1
    found = [(f"{run.name}: " if several else "") + _verdict(run) for run in report.runs]
    return found + [_difference_verdict(each) for each in report.differences]


def _verdict(run: RunReport) -> str:
    ece, bias = run.scores["ece"], run.scores["oe_plain"].value - run.scores["ue_plain"].value
    score = f"ECE {ece.value:.2f}% at {run.scores['error'].value:.2f}% error"
    if ece.value <= ece.floor_high:
        return f"{score}: no evidence of miscalibration; chance alone gives up to {ece.floor_high:.2f}% here."
    side = "too high" if bias > 0 else "too low"
    # Where errors of both signs cancel, the average alone would sound like good news.
    mixed = "; those too high and those too low largely cancel" if abs(bias) < ece.value / 2 else ""
    return (
        f"{score}: miscalibrated; chance alone would give at most {ece.floor_high:.2f}%. "
        f"On average, confidences are {side} by {abs(bias):.2f} points{mixed}."
    )


def _difference_verdict(each: DifferenceReport) -> str:
    ece = each.scores["ece"]
    direction = "lower" if ece.difference < 0 else "higher"
    chance = "" if ece.is_clear else ", which may be chance"
    return (
        f"The ECE of {each.other} is {abs(ece.difference):.2f} points {direction} than that of {each.first} "
        f"(95% interval of the difference: {interval_text('ece', ece, signed_ends=True)}){chance}. "
        "This compares these two networks on these images; training with another seed gives another network."
    )


def differences_text(first: str) -> tuple[str, ...]:
    """How to read the table of differences."""
    return (
        f"Each run minus {first}, on the same test images; negative is better. The 95% intervals are from a paired "
        "bootstrap; a difference whose interval does not contain 0 is marked *.",
    )


def post_hoc_text(found: PostHocReport) -> tuple[str, ...]:
    """How the methods were fitted."""
    return (
        f"Fitted on {found.fitted_on:,} predictions: {found.source}. The scores before and after are measured on "
        f"{found.scored_on:,} test images that no method was fitted on.",
    )


def interval_text(name: str, score: ScoreEstimate | ScoreDifference, signed_ends: bool = False) -> str:
    """Both ends of the interval of the score `name`."""
    ends = formatted(name, score.low), formatted(name, score.high)
    return " to ".join(map(signed, ends) if signed_ends else ends)


def signed(number: str) -> str:
    """With a sign that is easily seen: a real minus, and a plus."""
    if float(number) == 0:
        return number.lstrip("-")
    return "−" + number[1:] if number.startswith("-") else "+" + number
