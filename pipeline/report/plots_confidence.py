"""Accuracy against confidence over a training (after Thulasidasan et al. 2019, figure 1)."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pipeline.calibration.sums import Floats
from pipeline.report.plot_style import INK, SKY, new_figure, plain, shortened
from pipeline.report.plots_training import Log, series

CELLS, SMOOTHING = 100, 4  # of a side of the density's grid, and the deviation of its kernel in cells
PALE = LinearSegmentedColormap.from_list("pale", ["white", SKY])


class Track(NamedTuple):
    """Every evaluation of a run, in percent: means of the test set, and how much of the training was over."""

    confidence: Floats
    accuracy: Floats
    progress: Floats


def track(lines: Log) -> Track | None:
    """None where a run has not logged both `error` and `confidence`."""
    both = [line for line in lines if all(isinstance(line.get(key), int | float) for key in ("error", "confidence"))]
    if not both:
        return None
    steps, confidence = series(both, "confidence")
    return Track(confidence, 100 - series(both, "error")[1], 100 * steps / steps[-1])


def lacking_confidence(runs: Sequence[tuple[str, Log]]) -> list[str]:
    """One line that names the runs that were evaluated without logging `confidence`; [] where there are none."""
    names = [name for name, lines in runs if not track(lines) and len(series(lines, "error")[0])]
    return [f"{', '.join(names)}: no accuracy against confidence: metrics.jsonl has no `confidence`"] if names else []


def confidence_figure(runs: Sequence[tuple[str, Log]]) -> Figure | None:
    """A panel for each run by name: its evaluations as points, their density behind; None where none logged them."""
    tracks = [(name, found) for name, lines in runs if (found := track(lines))]
    if not tracks:
        return None
    columns = min(2, len(tracks))
    rows = math.ceil(len(tracks) / columns)
    figure = new_figure((3.4 if columns == 1 else 2.5) * rows + 0.8)
    all_axes = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    limits = _limits([found for _, found in tracks])
    for axes, (name, found) in zip(all_axes.flat, tracks, strict=False):
        _panel(axes, found, limits)
        axes.set_title(shortened(name, 55 // columns), fontsize=9, parse_math=False)
    for axes in all_axes.flat[len(tracks) :]:
        axes.set_axis_off()
    figure.supxlabel("Mean winning score (%)", fontsize=10)
    figure.supylabel("Accuracy (%)", fontsize=10)
    bar = figure.colorbar(ScalarMappable(Normalize(0, 100), "viridis"), ax=all_axes, location="top", aspect=40)
    bar.set_label("Share of the training (%)", fontsize=9)
    bar.ax.tick_params(labelsize=9)
    return figure


def _limits(tracks: Sequence[Track]) -> tuple[float, float]:
    """The same for both axes of every panel: whole tens, and a little more than everything."""
    values = np.concatenate([part for found in tracks for part in (found.confidence, found.accuracy)])
    return max(0, 10 * math.floor((values.min() - 1) / 10)), min(102, 10 * math.ceil((values.max() + 1) / 10))


def _panel(axes: Axes, found: Track, limits: tuple[float, float]) -> None:
    # Most evaluations lie close together, late in the training: the root shows the others' density as well.
    density = np.sqrt(_density(found, limits))
    axes.imshow(density, PALE, origin="lower", extent=(*limits, *limits), aspect="equal", zorder=0)
    axes.plot(limits, limits, color=INK, linestyle="--", linewidth=1)
    axes.scatter(
        found.confidence, found.accuracy, s=7, c=found.progress, cmap="viridis", vmin=0, vmax=100, linewidths=0
    )
    axes.set(xlim=limits, ylim=limits)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    plain(axes, "both")
    axes.tick_params(labelbottom=True)


def _density(found: Track, limits: tuple[float, float]) -> Floats:
    """[accuracy, confidence] of the evaluations, by a Gaussian kernel."""
    from scipy.ndimage import gaussian_filter

    grid, _, _ = np.histogram2d(found.accuracy, found.confidence, CELLS, (limits, limits))
    return np.asarray(gaussian_filter(grid, SMOOTHING))
