"""Figures of images: confidently wrong pseudo-labels (the paper's Figure 1d), and where two runs differ (Figure 2)."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pipeline.calibration.sums import Floats, Ints
from pipeline.report.plot_style import new_figure, shortened

Pixels = NDArray[np.uint8]
COLUMNS = 4
_NAME = 17  # characters that fit above an image


@dataclass(frozen=True)
class Believed:
    """What a run says of N test images: `guess` [N] classes and their `confidence` [N]."""

    name: str
    guess: Ints
    confidence: Floats


@dataclass(frozen=True)
class Case:
    """Test images of one kind of disagreement, at most as many as a row holds."""

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


def wrong_caption(guess: str, confidence: float, truth: str) -> str:
    """Of a wrong pseudo-label: what it is, what it was taken for, and how surely."""
    return f"is {shortened(truth, _NAME - 3)}\nsaid {shortened(guess, _NAME - 5)}\n{percent(confidence)}"


def disagreements(first: Believed, second: Believed, labels: Ints, most: int = COLUMNS) -> list[Case]:
    """Where the confidences of two runs differ most: both wrong, only the first right, only the second right.

    Both directions are looked for, so that neither run is shown at its best alone. Of both wrong, the images with the
    largest difference; of one right, those where the wrong run is surest.
    """
    right = first.guess == labels, second.guess == labels
    gap = np.abs(first.confidence - second.confidence)
    kinds = (
        ("Both are wrong, one much surer", ~right[0] & ~right[1], gap),
        (f"Only {second.name} is right", ~right[0] & right[1], first.confidence),
        (f"Only {first.name} is right", right[0] & ~right[1], second.confidence),
    )
    cases = []
    for title, chosen, weight in kinds:
        index = np.flatnonzero(chosen)
        if len(index):
            cases.append(Case(title, index[np.argsort(-weight[index], kind="stable")][:most]))
    return cases


def disagreement_figure(
    cases: Sequence[Case], images: Sequence[Pixels], pair: tuple[Believed, Believed], labels: Ints, names: Sequence[str]
) -> Figure:
    """One row a case; above each image its true label and what A (the first run) and B said, and how surely.

    `images`: uint8 [n, S, S, 3] of each case; `labels` [N] of all test images; `names` of the classes.
    """
    figure = new_figure(1.9 * len(cases))
    for part, case, shown in zip(figure.subfigures(len(cases), squeeze=False)[:, 0], cases, images, strict=True):
        part.suptitle(shortened(case.title, 60), fontsize=9.5, fontweight="bold", x=0.01, ha="left", parse_math=False)
        for axes, place in itertools.zip_longest(part.subplots(1, COLUMNS), range(len(case.index))):
            axes.set_axis_off()
            if place is not None:
                index = int(case.index[place])
                said = [f"{letter}: {_guess(run, index, names)}" for letter, run in zip("AB", pair, strict=True)]
                _show(axes, shown[place], "\n".join([f"is {shortened(names[labels[index]], _NAME - 3)}", *said]))
    return figure


def _guess(run: Believed, index: int, names: Sequence[str]) -> str:
    return f"{shortened(names[run.guess[index]], _NAME - 9)} {percent(float(run.confidence[index]))}"


def percent(confidence: float) -> str:
    """Confidence that never reads 100% where it is less."""
    return f"{math.floor(confidence * 1000) / 10:.1f}%"


def _show(axes: Axes, image: Pixels, caption: str) -> None:
    axes.imshow(image, interpolation="nearest" if image.shape[0] <= 64 else "antialiased")
    axes.set_title(caption, fontsize=8.5, pad=3, parse_math=False, linespacing=1.15)
