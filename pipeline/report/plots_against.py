"""Scores against an option, such as ECE, OE and accuracy (Thulasidasan et al. 2019, figure 2h to 2j)."""

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.report.against import SHOWN, Point
from pipeline.report.plot_style import INK, legend_above, line_look, new_figure, plain, shortened

PANELS = ("ece", "oe", "accuracy")  # unless others are asked for
FROM_ZERO = ("ece", "ece15", "ace", "oe", "ue", "oe_plain", "ue_plain")
FAR = 30  # from here on a linear axis would hide the small values


def against_figure(found: Mapping[str, Sequence[Point]], option: str, scores: Sequence[str] = PANELS) -> Figure:
    """A panel for each of `scores` (of SHOWN): means over seeds, one deviation each way; the expected floor of ECE."""
    figure = new_figure(0.6 + 2.0 * len(scores) + 0.22 * (len(found) + 1))
    all_axes = figure.subplots(len(scores), sharex=True, squeeze=False)[:, 0]
    for axes, score in zip(all_axes, scores, strict=True):
        for number, (name, points) in enumerate(found.items()):
            colour, style = line_look(number)
            values = [point.value for point in points]
            axes.errorbar(
                values,
                [point.mean(score) for point in points],
                [point.deviation(score) for point in points],
                color=colour, linestyle=style, marker="o", markersize=4, capsize=3, label=shortened(name, 55),
            )  # fmt: skip
        axes.set_ylabel(f"{SHOWN[score][0].upper()}{SHOWN[score][1:]} (%)")
        plain(axes)
        if score == "ece":
            _floors(axes, found)
        if score in FROM_ZERO:
            axes.set_ylim(bottom=0)
    _scale(all_axes[-1], found)
    all_axes[-1].set_xlabel(option)
    legend_above(figure, all_axes[scores.index("ece") if "ece" in scores else 0], columns=1)
    return figure


def _floors(axes: Axes, found: Mapping[str, Sequence[Point]]) -> None:
    """Of all curves under one name: they hardly differ."""
    for number, points in enumerate(found.values()):
        look = {"color": INK, "linestyle": ":", "linewidth": 1, "label": "_" if number else "expected floor of the ECE"}
        axes.plot([point.value for point in points], [point.floor for point in points], **look)  # type: ignore[arg-type]


def _scale(axes: Axes, found: Mapping[str, Sequence[Point]]) -> None:
    positive = [point.value for points in found.values() for point in points if point.value > 0]
    if positive and max(positive) > FAR * min(positive):
        axes.set_xscale("symlog", linthresh=min(positive))
