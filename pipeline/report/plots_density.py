"""Figures of distributions: winning scores of right, wrong and OOD images; margins of easy and hard images."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from pipeline.calibration.sums import Floats
from pipeline.report.plot_style import (
    BLUE,
    GREEN,
    INK,
    LINES,
    ORANGE,
    PURPLE,
    VERMILION,
    BarLook,
    legend_above,
    new_figure,
    plain,
    shortened,
)
from pipeline.report.pseudo_label_sample import PseudoLabelSample

SCORE_BINS = 40
MARGIN_BINS = 40
OOD_COLOURS = (PURPLE, ORANGE, INK)
GROUPS = (("pseudo-label right", GREEN, ""), ("wrong", VERMILION, "////"), ("label unknown", "#BBBBBB", ""))


def winning_score_figure(confidence: Floats, correct: Floats, ood: Mapping[str, Floats]) -> Figure:
    """Densities of the highest probability (Thulasidasan et al. 2019, Fig. 2).

    `confidence` and `correct` (0 or 1) [N] of test images; `ood`: confidences [M] of OOD images by name.
    """
    figure = new_figure(3.2 + 0.15 * len(ood))
    axes = figure.add_subplot()
    right = correct > 0
    _step(axes, confidence[right], f"test, right ({right.mean():.0%})", BLUE, "-", fill=True)
    _step(axes, confidence[~right], f"test, wrong ({1 - right.mean():.0%})", VERMILION, "--", fill=True)
    for (name, values), colour, (_, style) in zip(ood.items(), OOD_COLOURS * 9, LINES[2:5] * 9, strict=False):
        _step(axes, values, shortened(name, 34), colour, style)
    axes.set(xlim=(0, 1), ylim=(0, None), xlabel="Winning score (highest probability)", ylabel="Density")
    legend_above(figure, axes)
    plain(axes)
    return figure


def _step(axes: Axes, values: Floats, label: str, colour: str, style: object, fill: bool = False) -> None:
    if len(values) == 0:
        return
    density, edges = np.histogram(values, SCORE_BINS, (0, 1), density=True)
    if fill:
        axes.stairs(density, edges, fill=True, color=(colour, 0.18))
    axes.stairs(density, edges, color=colour, linestyle=style, linewidth=1.6, label=label)


def margin_figure(of: PseudoLabelSample) -> Figure:
    """Margins of unlabelled images whose pseudo-label is right, wrong or unknown; the median parts hard from easy."""
    figure = new_figure(3.4)
    axes = figure.add_subplot()
    _draw_margins(axes, of)
    middle = float(np.median(of.margin))
    axes.axvline(middle, color=INK, linewidth=1.2, linestyle="--")
    halves = (("hard (left of the line)", of.margin < middle), ("easy (right)", of.margin >= middle))
    axes.set_title("; ".join(name + _wrong_share(of, chosen) for name, chosen in halves), fontsize=9, loc="left")
    label = "APM of the pseudo-label" if of.is_apm else "Margin of the pseudo-label at the checkpoint"
    axes.set(xlabel=label, ylabel="Unlabelled images")
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    legend_above(figure, axes)
    plain(axes)
    return figure


def _draw_margins(axes: Axes, of: PseudoLabelSample) -> None:
    """Stacked bars of right, wrong and unknown pseudo-labels; the few margins outside the range lie in its end bins."""
    low, high = np.quantile(of.margin, (0.002, 0.998))
    edges = np.linspace(min(low, 0), max(high, low + 1e-6), MARGIN_BINS + 1)
    known = of.truth >= 0
    groups = (of.margin[known & ~of.wrong], of.margin[of.wrong], of.margin[~known])
    bottom = np.zeros(MARGIN_BINS)
    for group, (label, colour, hatch) in zip(groups, GROUPS, strict=True):
        share = np.histogram(np.clip(group, edges[0], edges[-1]), edges)[0] / len(of.margin)
        if len(group):
            look = BarLook(facecolor=colour, edgecolor="white", hatch=hatch, linewidth=0.4)
            axes.bar(edges[:-1], share, np.diff(edges), bottom, align="edge", label=label, **look)
        bottom += share


def _wrong_share(of: PseudoLabelSample, chosen: np.ndarray) -> str:
    known = chosen & (of.truth >= 0)
    return f": {of.wrong[known].mean():.1%} wrong" if known.any() else ""
