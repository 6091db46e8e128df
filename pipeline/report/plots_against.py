"""ECE, overconfidence and accuracy against an option (Thulasidasan et al. 2019, figure 2h to 2j)."""

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.report.against import Point
from pipeline.report.plot_style import INK, legend_above, line_look, new_figure, plain, shortened

PANELS = (("ece", "ECE (%)"), ("oe", "OE (%)"), ("accuracy", "Accuracy (%)"))
FAR = 30  # from here on a linear axis would hide the small values


def against_figure(found: Mapping[str, Sequence[Point]], option: str) -> Figure:
    """Three panels: means over seeds with one deviation each way, and the expected floor of the ECE."""
    figure = new_figure(0.6 + 2.0 * len(PANELS) + 0.22 * (len(found) + 1))
    all_axes = figure.subplots(len(PANELS), sharex=True)
    for axes, (score, label) in zip(all_axes, PANELS, strict=True):
        for number, (name, points) in enumerate(found.items()):
            colour, style = line_look(number)
            values = [point.value for point in points]
            axes.errorbar(
                values,
                [point.mean(score) for point in points],
                [point.deviation(score) for point in points],
                color=colour, linestyle=style, marker="o", markersize=4, capsize=3, label=shortened(name, 55),
            )  # fmt: skip
        axes.set_ylabel(label)
        plain(axes)
    _floors(all_axes[0], found)
    for axes in all_axes[:2]:
        axes.set_ylim(bottom=0)
    _scale(all_axes[-1], found)
    all_axes[-1].set_xlabel(option)
    legend_above(figure, all_axes[0], columns=1)
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
