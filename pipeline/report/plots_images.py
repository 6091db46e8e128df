"""Figures of images: confidently wrong pseudo-labels (Figure 1d of the paper), and where two runs differ (Figure 2)."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.calibration.sums import Floats, Ints
from pipeline.report.plot_style import new_figure, shortened
from pipeline.report.subjects import Pixels

COLUMNS = 4
_NAME = 17  # characters that fit above an image


@dataclass(frozen=True)
class PredictionSummary:
    """What a run predicts for N test images: classes `predicted` [N] and their `confidence` [N]."""

    name: str
    predicted: Ints
    confidence: Floats


@dataclass(frozen=True)
class Case:
    """Test images on which two runs disagree in one way: their `index` [n], n at most what a row holds."""

    title: str
    index: Ints


def image_grid(images: Pixels, captions: Sequence[str]) -> Figure:
    """`images` uint8 [n, S, S, 3] in rows of four, each under its caption of up to three lines."""
    rows = math.ceil(len(images) / COLUMNS)
    figure = new_figure(1.68 * rows)
    all_axes = figure.subplots(rows, COLUMNS, squeeze=False)
    for axes in all_axes.flat:
        axes.set_axis_off()
    for axes, image, caption in zip(all_axes.flat, images, captions, strict=False):
        _show(axes, image, caption)
    return figure


def wrong_caption(pseudo_label: str, confidence: float, truth: str) -> str:
    """Of a wrong pseudo-label: the true class, the pseudo-label, and its confidence."""
    return f"is {shortened(truth, _NAME - 3)}\nsaid {shortened(pseudo_label, _NAME - 5)}\n{percent(confidence)}"


def disagreements(
    first: PredictionSummary, second: PredictionSummary, labels: Ints, maximum: int = COLUMNS
) -> list[Case]:
    """Where two runs differ most: both wrong, only the second right, only the first right; up to `maximum` images each.

    Both directions are looked for, so that neither run is shown only at its best. Where both are wrong, the images with
    the largest difference in confidence; where one is right, those on which the wrong run is most confident.
    """
    right = first.predicted == labels, second.predicted == labels
    gap = np.abs(first.confidence - second.confidence)
    kinds = (
        ("Both are wrong, one far more confident", ~right[0] & ~right[1], gap),
        (f"Only {second.name} is right", ~right[0] & right[1], first.confidence),
        (f"Only {first.name} is right", right[0] & ~right[1], second.confidence),
    )
    cases = []
    for title, chosen, weight in kinds:
        index = np.flatnonzero(chosen)
        if len(index):
            cases.append(Case(title, index[np.argsort(-weight[index], kind="stable")][:maximum]))
    return cases


def disagreement_figure(
    cases: Sequence[Case],
    images: Sequence[Pixels],
    pair: tuple[PredictionSummary, PredictionSummary],
    labels: Ints,
    classes: Sequence[str],
) -> Figure:
    """One row per case; above each image its true class and what A (the first run) and B predicted, with confidence.

    `images`: uint8 [n, S, S, 3] of each case; `labels` [N] of all test images; names of the `classes`.
    """
    figure = new_figure(1.9 * len(cases))
    for part, case, shown in zip(figure.subfigures(len(cases), squeeze=False)[:, 0], cases, images, strict=True):
        part.suptitle(shortened(case.title, 60), fontsize=9.5, fontweight="bold", x=0.01, ha="left", parse_math=False)
        for axes, image, index in itertools.zip_longest(part.subplots(1, COLUMNS), shown, case.index):
            axes.set_axis_off()
            if image is not None:
                said = [f"{letter}: {_said(run, index, classes)}" for letter, run in zip("AB", pair, strict=True)]
                _show(axes, image, "\n".join([f"is {shortened(classes[labels[index]], _NAME - 3)}", *said]))
    return figure


def _said(run: PredictionSummary, index: int, classes: Sequence[str]) -> str:
    return f"{shortened(classes[run.predicted[index]], _NAME - 9)} {percent(float(run.confidence[index]))}"


def percent(confidence: float) -> str:
    """Confidence in percent, rounded down: it never reads 100% where it is less."""
    return f"{math.floor(confidence * 1000) / 10:.1f}%"


def _show(axes: Axes, image: Pixels, caption: str) -> None:
    axes.imshow(image, interpolation="nearest" if image.shape[0] <= 64 else "antialiased")
    axes.set_title(caption, fontsize=8.5, pad=3, parse_math=False, linespacing=1.15)
