"""The walk out of the convex hull as curves (Thulasidasan et al. 2019, figure 10)."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from pipeline.report.plot_style import legend_above, line_look, new_figure, plain, shortened
from pipeline.report.records import WalkPoint

PANELS = (("accuracy", "Accuracy (%)"), ("confidence", "Winning score (%)"), ("entropy", "Entropy (nats)"))


def walk_figure(walks: Mapping[str, Mapping[str, Sequence[WalkPoint]]]) -> Figure:
    """Three panels over mu. `walks`: by run, then "" for the network itself and the name of its calibrated twin.

    A twin has the colour of its run, pale and with markers. A temperature leaves the accuracy as it is, so a twin has
    none of its own.
    """
    figure = new_figure(0.6 + 1.9 * len(PANELS) + 0.22 * sum(map(len, walks.values())))
    all_axes = figure.subplots(len(PANELS), sharex=True)
    for axes, (value, label) in zip(all_axes, PANELS, strict=True):
        for number, (run, ways) in enumerate(walks.items()):
            colour, style = line_look(number)
            for way, points in list(ways.items())[: 1 if value == "accuracy" else None]:
                name = f"{shortened(run, 40)}, {way}" if way else shortened(run, 55)
                look = {"marker": "o", "markersize": 3, "alpha": 0.55} if way else {}
                heights = [getattr(point, value) for point in points]
                axes.plot([point.mu for point in points], heights, color=colour, linestyle=style, label=name, **look)
        axes.set(xscale="log", ylabel=label, ylim=(0, 103 if value != "entropy" else None))
        plain(axes)
    all_axes[-1].set_xlabel("Distance mu from the image, pixels in [0, 1]")
    legend_above(figure, all_axes[1], columns=1)
    return figure
