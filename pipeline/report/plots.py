"""Reliability diagrams of one or several runs."""

import math
from collections.abc import Sequence
from textwrap import wrap

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec, SubplotSpec
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import PercentFormatter
from numpy.typing import ArrayLike

from pipeline.calibration.reliability import ReliabilityBins, reliability_bins
from pipeline.calibration.scores import metrics
from pipeline.report.plot_style import DPI, GREEN, INK, VERMILION, BarLook, plain, shortened

_OVER, _UNDER = VERMILION, GREEN
_ACCURACY = "#A9D6F3"  # sky blue, lightened so that the hatching of the gap stands out
_GAP_STYLE = {_OVER: "////", _UNDER: "\\\\\\\\"}  # the direction tells them apart in greyscale print
_PANELS_PER_ROW = 4
_FIGURE_WIDTH, _ROW_HEIGHT = 12.0, 5.0  # inches: 9 to 10 point text reads well at 1200 px


def reliability_figure(runs: Sequence[tuple[str, ArrayLike, ArrayLike]], bins: int = 10) -> Figure:
    """Reliability diagrams (Niculescu-Mizil and Caruana 2005) side by side, one panel per run, four to a row.

    `runs` holds (name, logits real [N, C], labels int [N]). Each panel shows the accuracy in the `bins` equal
    bins of `ece` with its 95% Wilson interval, the gap to the mean confidence, the diagonal of perfect calibration
    and, below, the share of samples by confidence. Returns a Figure that needs no display: `figure.savefig(path)`.
    ValueError for no runs, or as in `calibration.scores.check_predictions`.
    """
    if not runs:
        raise ValueError("a reliability figure needs at least one run")
    rows = math.ceil(len(runs) / _PANELS_PER_ROW)
    columns = math.ceil(len(runs) / rows)
    width = _FIGURE_WIDTH * columns / max(columns, 3)
    figure = Figure(figsize=(max(width, 5.0), _ROW_HEIGHT * rows), dpi=DPI)
    FigureCanvasAgg(figure)
    legend_height = _legend(figure)
    figure.set_figheight(_ROW_HEIGHT * rows + legend_height)
    grid = _grid(figure, rows, columns, legend_height)
    for number, run in enumerate(runs):
        _panel(figure, grid[number], run, bins, first_in_row=number % columns == 0)
    return figure


def _grid(figure: Figure, rows: int, columns: int, legend_height: float) -> GridSpec:
    width, height = figure.get_size_inches()
    # Margins in inches, so that text has the same room whatever the number of rows.
    return GridSpec(
        rows,
        columns,
        figure,
        left=0.75 / width,
        right=1 - 0.2 / width,
        top=1 - 0.7 / height,
        bottom=(0.6 + legend_height) / height,
        wspace=0.22,
        hspace=0.32,
    )


def _panel(
    figure: Figure, spot: SubplotSpec, run: tuple[str, ArrayLike, ArrayLike], bins: int, first_in_row: bool
) -> None:
    name, logits, labels = run
    inner = spot.subgridspec(2, 1, height_ratios=(3.2, 1), hspace=0.12)
    upper = figure.add_subplot(inner[0])
    lower = figure.add_subplot(inner[1], sharex=upper)
    upper.tick_params(labelbottom=False)
    values = metrics(logits, labels, bins)
    binned = reliability_bins(logits, labels, bins)
    _draw_reliability(upper, binned)
    _draw_histogram(lower, binned, values["error"])
    _title(upper, name, values, width=upper.get_window_extent().width / figure.dpi)
    if first_in_row:
        upper.set_ylabel("Accuracy")
        lower.set_ylabel("Samples")
    figure.align_ylabels([upper, lower])


def _draw_reliability(axes: Axes, bins: ReliabilityBins) -> None:
    filled = bins.count > 0
    centre, width = ((bins.lower + bins.upper) / 2)[filled], (bins.upper - bins.lower)[filled]
    accuracy, confidence = bins.accuracy[filled], bins.confidence[filled]
    over = confidence > accuracy
    axes.bar(centre, accuracy, width, color=_ACCURACY, edgecolor="white", linewidth=0.8, zorder=1)
    for chosen, colour in ((over, _OVER), (~over, _UNDER)):
        gap = (confidence - accuracy)[chosen]
        axes.bar(centre[chosen], gap, width[chosen], bottom=accuracy[chosen], zorder=2, **_gap(colour))
    axes.plot([0, 1], [0, 1], linestyle="--", color=INK, linewidth=1, zorder=3)
    reach = np.stack([accuracy - bins.low[filled], bins.high[filled] - accuracy])
    axes.errorbar(centre, accuracy, np.maximum(reach, 0), fmt="none", ecolor=INK, capsize=2.5, linewidth=1)
    axes.set(xlim=(0, 1), ylim=(0, 1.02), yticks=np.arange(6) / 5)
    plain(axes)


def _gap(colour: str) -> BarLook:
    return BarLook(facecolor=(colour, 0.25), edgecolor=colour, hatch=_GAP_STYLE[colour], linewidth=0.8)


def _draw_histogram(axes: Axes, bins: ReliabilityBins, error: float) -> None:
    share = bins.count / bins.count.sum()
    mean_confidence = float((bins.confidence * share).sum())
    centre, width = (bins.lower + bins.upper) / 2, bins.upper - bins.lower
    axes.bar(centre, share, width, color="#BBBBBB", edgecolor="white")
    axes.axvline(1 - error / 100, color=INK, linewidth=1.5)
    axes.axvline(mean_confidence, color=INK, linewidth=1.5, linestyle=":")
    axes.set(xlim=(0, 1), ylim=(0, 1), xticks=np.arange(6) / 5, yticks=[0, 0.5, 1], xlabel="Confidence")
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    plain(axes)


def _title(axes: Axes, name: str, values: dict[str, float], width: float) -> None:
    """The name on one or two lines of `width` inches, cut in the middle if longer, above ECE and error."""
    size = 10 if width > 3 else 9
    per_line = int(width * 110 / size)  # an average character is 0.6 of the font size wide
    lines = wrap(shortened(name, 2 * per_line - 8), per_line) or [""]
    score = f"ECE {values['ece']:.2f}%   error {values['error']:.2f}%"
    # A folder's name may hold a dollar sign that is not meant as mathematics.
    axes.set_title("\n".join([*lines, score]), fontsize=size, parse_math=False)


def _legend(figure: Figure) -> float:
    """Draws the legend at the foot of the figure, in as many lines as its width needs; returns its height in inches."""
    handles = [
        Patch(facecolor=_ACCURACY, label="accuracy, 95% interval"),
        Patch(label="confidence above accuracy", **_gap(_OVER)),
        Patch(label="confidence below accuracy", **_gap(_UNDER)),
        Line2D([], [], color=INK, linestyle="--", label="perfect calibration"),
        Line2D([], [], color=INK, linewidth=1.5, label="mean accuracy"),
        Line2D([], [], color=INK, linewidth=1.5, linestyle=":", label="mean confidence"),
    ]
    columns = max(2, int(figure.get_size_inches()[0] / 2))
    columns = max(fit for fit in (2, 3, 6) if fit <= columns)
    figure.legend(handles=handles, loc="lower center", ncols=columns, fontsize=9, frameon=False)
    return 0.2 + 0.2 * len(handles) / columns
