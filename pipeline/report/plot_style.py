"""How every figure looks; drawn without pyplot, so that nothing global is opened or kept.

Figures are narrow, to fit on a phone, and their text is 9 to 10 points. Colours are those of Okabe and Ito, which stay
distinct under the common colour-vision deficiencies; line styles and hatching tell the same in greyscale print.
"""

from typing import TypedDict

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

INK = "#333333"
BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"
LINES = ((BLUE, "-"), (VERMILION, "--"), (GREEN, "-."), (PURPLE, ":"), (ORANGE, (0, (5, 1, 1, 1, 1, 1))), (SKY, "-"))
WIDTH = 4.8  # inches
DPI = 150


class BarLook(TypedDict):
    """The look of bars, as keyword arguments of matplotlib."""

    facecolor: str | tuple[str, float]
    edgecolor: str
    hatch: str
    linewidth: float


def new_figure(height: float, width: float = WIDTH) -> Figure:
    """An empty figure of `width` x `height` inches that lays out its axes by itself."""
    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def plain(axes: Axes, grid: str = "y") -> None:
    """Two spines, small tick labels, a pale grid behind the data."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=9)
    axes.grid(axis=grid, color="#E5E5E5", linewidth=0.6)  # type: ignore[arg-type]
    axes.set_axisbelow(True)


def line_look(number: int) -> tuple[str, str | tuple[int, tuple[int, ...]]]:
    """Colour and line style of the line of that number: those of LINES, then each colour with another style."""
    colours, styles = list(dict(LINES)), list(dict.fromkeys(style for _, style in LINES))
    again, place = divmod(number, len(colours))
    return colours[place], styles[(place + again) % len(styles)]


def legend_above(figure: Figure, axes: Axes, columns: int = 2) -> None:
    """What the axes show, named above them; a name is text, never mathematics."""
    handles, labels = axes.get_legend_handles_labels()
    legend = figure.legend(
        handles, labels, loc="outside upper left", ncols=columns, fontsize=9, frameon=False, handlelength=3
    )
    for text in legend.get_texts():
        text.set_parse_math(False)


def shortened(name: str, length: int) -> str:
    """`name`, cut in the middle where it is longer than `length`."""
    if len(name) <= length:
        return name
    head = (length - 1) // 2
    return f"{name[:head]}…{name[len(name) - (length - 1 - head) :]}"
