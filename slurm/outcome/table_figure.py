"""A grid's table as a figure: our means with std, the paper's as rings, one panel for each metric and column."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from slurm.grids.grid import METRICS
from slurm.outcome.entries import Entry
from slurm.outcome.tables import columns, methods, metrics

ACROSS = 5


def write(path: Path, table: Sequence[Entry], title: str) -> None:
    """Writes a PNG. Missing entries are left out; the panel of a column without any stays empty."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib.figure import Figure

    heads, names, shown = columns(table), methods(table), metrics(table)
    across = min(len(heads), ACROSS)
    down = -(-len(heads) // across)
    size = (2.6 * across + 2.5, len(shown) * down * (0.22 * len(names) + 0.9))
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(len(shown) * down, across, sharey=True, squeeze=False)
    for number, metric in enumerate(shown):
        panels = axes[number * down : (number + 1) * down].ravel()
        for axis, column in zip(panels, heads, strict=False):
            _panel(axis, [e for e in table if e.metric == metric and (e.dataset, e.labels) == column], names)
            axis.set_title(f"{' '.join(column)}: {METRICS[metric]}", fontsize=8)
        for axis in panels[len(heads) :]:
            axis.set_visible(False)
    figure.suptitle(f"{title}: ours (dots, std) and the paper's (rings)", fontsize=9)
    figure.savefig(path, dpi=100)


def _panel(axis: Any, entries: Sequence[Entry], names: Sequence[str]) -> None:
    for entry in entries:
        y = names.index(entry.method)
        if entry.mean is not None:
            axis.errorbar(entry.mean, y, xerr=entry.std, fmt="o", ms=4, color="C0", capsize=2)
        if entry.paper is not None:
            axis.errorbar(entry.paper.mean, y, xerr=entry.paper.std, fmt="o", ms=6, mfc="none", color="C1", lw=0.8)
    axis.set_yticks(range(len(names)), names, fontsize=7)
    axis.set_ylim(len(names) - 0.5, -0.5)
    axis.tick_params(axis="x", labelsize=7)
    axis.grid(axis="x", lw=0.3)
