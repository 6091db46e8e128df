"""The table of ``--status``: a line for each run of a grid."""

import time
from collections.abc import Callable, Sequence

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from slurm.grids.grid import Cell
from slurm.outcome.status import RunStatus, summary

COLOURS = {"done": "green", "running": "cyan", "pending": "yellow", "preempted": "magenta", "failed": "red"}
REFRESH_SECONDS = 5

Statuses = Sequence[tuple[Cell, RunStatus]]


def watch(console: Console, read: Callable[[], Statuses]) -> None:
    """On a terminal live until nothing runs or waits any more, or until Ctrl-C; elsewhere once."""
    found = read()
    if not console.is_terminal:
        console.print(status_table(found), soft_wrap=True)
        return
    with Live(status_table(found), console=console, refresh_per_second=1) as live:
        try:
            while any(status.state in {"running", "pending"} for _, status in found):
                time.sleep(REFRESH_SECONDS)
                found = read()
                live.update(status_table(found))
        except KeyboardInterrupt:
            return


def status_table(found: Statuses) -> Group:
    """One line for each run, and how many there are of each kind."""
    table = Table(box=None, pad_edge=False)
    for name, align in (("data", "left"), ("method", "left"), ("labels", "right"), ("seed", "right")):
        table.add_column(name, justify=align, no_wrap=True)  # type: ignore[arg-type]
    table.add_column("state", no_wrap=True)
    table.add_column("step", justify="right", no_wrap=True)
    table.add_column("", overflow="fold")
    for cell, status in found:
        key = (cell.dataset, cell.method, cell.labels, str(cell.seed))
        state = Text(status.state, style=COLOURS.get(status.state, "dim"))
        table.add_row(*map(Text, key), state, f"{status.step:,}/{status.steps:,}", Text(status.detail))
    return Group(table, Text(summary([status for _, status in found])))
