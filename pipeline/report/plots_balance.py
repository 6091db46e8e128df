"""Which of two soft labels a loss fits better, against how far apart its predictions may lie (CSM, section 3)."""

import numpy as np
from matplotlib.figure import Figure

from pipeline.calibration.balance import LOSSES, distance, fit
from pipeline.report.plot_style import INK, legend_above, line_look, new_figure, plain

POINTS = 60


def balance_figure(alphas: tuple[float, float]) -> Figure:
    """A line for each loss, over all delta between 0 and the distance of the labels. A thin line at 0: balance."""
    figure = new_figure(3.6)
    axes = figure.subplots()
    deltas = np.linspace(0, distance(*alphas), POINTS + 2)[1:-1]
    for number, (name, loss) in enumerate(LOSSES.items()):
        colour, style = line_look(number)
        betas = [fit(loss, *alphas, delta).beta for delta in deltas]
        axes.plot(deltas, betas, color=colour, linestyle=style, label=name)
    axes.axhline(0, color=INK, linewidth=0.8)
    axes.set(xlabel=r"$\delta$, largest squared distance of the predictions", xlim=(0, deltas[-1]))
    axes.set_ylabel(f"β: the label of {alphas[0]:g} is fitted\nbetter (< 0) or worse (> 0)")
    plain(axes)
    legend_above(figure, axes, columns=3)
    return figure
