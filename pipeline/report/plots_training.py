"""Figures of training over the steps: loss and scores, impurity and mask rate (Figure 1c of the paper)."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from pipeline.report.plot_style import line_look, new_figure, plain, shortened

Log = Sequence[Mapping[str, object]]  # the lines of a metrics.jsonl
Panel = tuple[str, str, float]  # key of a line, axis label, factor
MAX_POINTS = 300


def progress_figure(runs: Sequence[tuple[str, Log]]) -> Figure | None:
    """Training loss, and scores in percent at every evaluation, of runs by name; None where no run has any."""
    scores = (("error", "Error (%)"), ("ece", "ECE (%)"), ("oe_plain", "OE, plain (%)"), ("ue_plain", "UE, plain (%)"))
    return _stacked(runs, (("loss", "Training loss", 1), *((key, label, 1) for key, label in scores)))


def pseudo_label_figure(runs: Sequence[tuple[str, Log]]) -> Figure | None:
    """Share of the pseudo-labels in use that are wrong, and share in use; None where no run logged either."""
    return _stacked(runs, (("impurity", "Impurity (%)", 100), ("mask_rate", "Used, mask rate (%)", 100)))


def series(lines: Log, key: str) -> tuple[np.ndarray, np.ndarray]:
    """(steps, values) of the lines that have a number at `key`."""
    found = [(line["step"], line[key]) for line in lines if isinstance(line.get(key), int | float)]
    steps, values = np.array(found, dtype=np.float64).reshape(-1, 2).T
    return steps, values


def thinned(steps: np.ndarray, values: np.ndarray, maximum: int = MAX_POINTS) -> tuple[np.ndarray, np.ndarray]:
    """Means over consecutive points, at most `maximum` of them: single batches scatter widely."""
    each = -(-len(steps) // maximum) or 1
    groups = np.arange(0, len(steps), each)
    sizes = np.diff(np.append(groups, len(steps)))
    return np.add.reduceat(steps, groups) / sizes, np.add.reduceat(values, groups) / sizes


def _stacked(runs: Sequence[tuple[str, Log]], panels: Sequence[Panel]) -> Figure | None:
    panels = [panel for panel in panels if any(len(series(lines, panel[0])[0]) for _, lines in runs)]
    if not panels:
        return None
    figure = new_figure(0.5 + 1.9 * len(panels) + 0.22 * len(runs))
    all_axes = figure.subplots(len(panels), sharex=True, squeeze=False)[:, 0]
    for axes, (key, label, factor) in zip(all_axes, panels, strict=True):
        _draw(axes, runs, key, factor)
        axes.set_ylabel(label)
        axes.set_ylim(bottom=min(0, *(float(line.get_ydata().min()) for line in axes.get_lines())))  # a loss may be < 0
    all_axes[-1].set_xlabel("Step")
    all_axes[-1].xaxis.set_major_formatter(EngFormatter(sep=""))
    handles = [line for axes in all_axes for line in axes.get_lines()]
    shown = {line.get_label(): line for line in handles}
    legend = figure.legend(
        shown.values(), shown.keys(), loc="outside upper left", fontsize=9, frameon=False, handlelength=3
    )
    for text in legend.get_texts():
        text.set_parse_math(False)
    return figure


def _draw(axes: Axes, runs: Sequence[tuple[str, Log]], key: str, factor: float) -> None:
    for number, (name, lines) in enumerate(runs):
        steps, values = series(lines, key)
        if len(steps) == 0:
            continue
        colour, style = line_look(number)
        marker = "o" if len(steps) <= 30 else ""  # a run's first evaluation is a point, not a line
        steps, values = thinned(steps, factor * values)
        label = shortened(name, 55)
        axes.plot(steps, values, color=colour, linestyle=style, marker=marker, markersize=3, label=label)
    plain(axes)
