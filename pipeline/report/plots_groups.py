"""Figures of generated groups: rows of annotated images (CSM, Figure 4), curves of lambda_E, what the ends are."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from numpy.typing import NDArray

from pipeline.calibration.sums import Floats, Ints
from pipeline.report.plot_style import BLUE, INK, VERMILION, WIDTH, legend_above, new_figure, plain, shortened

Pixels = NDArray[np.uint8]
NAME = 9  # characters of a class beside a row of images
GAP, BELOW, ABOVE, BESIDE = 0.06, 0.42, 0.4, 1.7  # space around images, in their sides
NAMED, WRITTEN = 30, 12  # classes up to which the matrix names them, and writes its numbers
DRAWN = 200  # curves drawn one by one
PALE = LinearSegmentedColormap.from_list("ends", [VERMILION, "#F7F7F7", BLUE])


def group_rows(images: Pixels, shares: Floats, ratios: Floats, names: Sequence[tuple[str, str]]) -> Figure:
    """``images`` uint8 [R, S, H, W, 3], a group a row; under each image its lambda, of ``shares`` [R, S].

    ``ratios`` [S], shares of the first class, above all; ``names``: the second class, to the left, and the first.
    """
    rows, places = images.shape[:2]
    height, length = 1 + BELOW, places + GAP * (places - 1)  # of a row, in sides of an image
    width = length + 2 * BESIDE
    figure = new_figure((rows * height + ABOVE) * WIDTH / width)
    figure.set_layout_engine("none")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    for row, (group, values, ends) in enumerate(zip(images, shares, names, strict=True)):
        for x, name in ((-BESIDE / 2, ends[0]), (length + BESIDE / 2, ends[1])):
            _write(axes, x, row * height + 0.5, shortened(name, NAME), size=9)
        for place, (image, value) in enumerate(zip(group, values, strict=True)):
            _show(axes, image, place * (1 + GAP), row * height)
            _write(axes, place * (1 + GAP) + 0.5, row * height + 1 + BELOW / 2, f"{value:.2f}")
    for place, ratio in enumerate(ratios):
        _write(axes, place * (1 + GAP) + 0.5, -ABOVE / 2, f"{ratio:.2f}", colour="#777777")
    axes.set(xlim=(-BESIDE, width - BESIDE), ylim=(rows * height, -ABOVE), aspect="equal")  # imshow has set others
    return figure


def _show(axes: Axes, image: Pixels, x: float, y: float) -> None:
    smooth = "nearest" if image.shape[0] <= 64 else "antialiased"
    axes.imshow(image, extent=(x, x + 1, y + 1, y), interpolation=smooth)


def _write(axes: Axes, x: float, y: float, text: str, size: float = 8.5, colour: str = INK) -> None:
    axes.text(x, y, text, ha="center", va="center", fontsize=size, color=colour, parse_math=False)


def curve_figure(curves: Floats, ratios: Floats, rising: NDArray[np.bool_]) -> Figure:
    """Mean lambda_E over the ratio, ``curves`` [P, S] of P pairs; those that fall somewhere have another colour."""
    figure = new_figure(3.4)
    axes = figure.add_subplot()
    low, high = np.quantile(curves, (0.05, 0.95), axis=0)
    axes.fill_between(ratios, low, high, color=(BLUE, 0.12), linewidth=0, label="5% to 95% of the pairs")
    shown = np.linspace(0, len(curves) - 1, min(len(curves), DRAWN)).round().astype(int)
    for chosen, colour, style, name in (
        (shown[rising[shown]], BLUE, "-", "a pair"),
        (shown[~rising[shown]], VERMILION, "--", "a pair that falls somewhere"),
    ):
        for number, pair in enumerate(chosen):
            label = name if number == 0 else "_"
            axes.plot(ratios, curves[pair], color=(colour, 0.35), linestyle=style, linewidth=0.8, label=label)
    axes.plot(ratios, curves.mean(0), color=INK, linewidth=2, marker="o", markersize=3.5, label="mean of all pairs")
    axes.plot((0, 1), (0, 1), color="#999999", linestyle=":", linewidth=1.2, label="the ratio itself")
    axes.set(xlim=(0, 1), xlabel="Ratio given to the generator", ylabel=r"Mean $\lambda_E$ of the images")
    plain(axes)
    legend_above(figure, axes)
    return figure


def ends_figure(pairs: Ints, ends: Floats, classes: Sequence[str]) -> Figure:
    """Row: the class that an end should be of; column: the other class of its pair; colour: how often it is.

    ``pairs`` [P, 2] of classes a and b; ``ends`` [P, 2]: shares of ends taken for b, and for a.
    """
    shares = np.full((len(classes), len(classes)), np.nan)
    shares[pairs[:, 1], pairs[:, 0]], shares[pairs[:, 0], pairs[:, 1]] = ends.T
    figure = new_figure(4.2)
    axes = figure.add_subplot()
    drawn = axes.imshow(shares, PALE, vmin=0, vmax=1)
    bar = figure.colorbar(drawn, ax=axes, shrink=0.8, format=PercentFormatter(1, decimals=0))
    bar.ax.tick_params(labelsize=9)
    axes.set(xlabel="Other class of the pair", ylabel="Class that the end should be of")
    axes.tick_params(labelsize=9)
    if len(classes) <= NAMED:
        words = [shortened(name, NAME) for name in classes]
        axes.set_xticks(range(len(words)), words, rotation=90 if max(map(len, words)) > 2 else 0, parse_math=False)
        axes.set_yticks(range(len(words)), words, parse_math=False)
    if len(classes) <= WRITTEN:
        for (row, column), share in np.ndenumerate(shares):
            if not np.isnan(share):
                colour = INK if 0.2 < share < 0.8 else "white"
                axes.text(column, row, f"{100 * share:.0f}", ha="center", va="center", fontsize=8.5, color=colour)
    return figure
