"""Accuracy against coverage: what rejecting unsure predictions gains."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from pipeline.calibration.confidence_curve import curve, selective_accuracy
from pipeline.calibration.scores import Sums
from pipeline.report.plot_style import legend_above, line_look, new_figure, plain, shortened

COVERAGES = np.arange(1, 101) / 100


def selective_figure(runs: Sequence[tuple[str, Sums]]) -> Figure:
    """A line for each run by name."""
    figure = new_figure(3.2)
    axes = figure.subplots()
    for number, (name, total) in enumerate(runs):
        accuracy = selective_accuracy(curve(total.confidence, total.correct), COVERAGES)
        colour, style = line_look(number)
        axes.plot(100 * COVERAGES, 100 * accuracy, color=colour, linestyle=style, label=shortened(name, 26))
    axes.set(xlabel="Coverage: share of images, most confident first (%)", ylabel="Accuracy (%)", xlim=(0, 100))
    plain(axes, "both")
    if len(runs) > 1:
        legend_above(figure, axes)
    return figure
