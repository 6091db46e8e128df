"""What a person sees of a grid: the table of ``--status``."""

import time
from collections import Counter
from collections.abc import Callable, Sequence

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from slurm.grid import Cell
from slurm.situation import ORDER, Situation

COLOURS = {"done": "green", "running": "cyan", "pending": "yellow", "preempted": "magenta", "failed": "red"}
REFRESH_SECONDS = 5

Look = Callable[[], Sequence[tuple[Cell, Situation]]]


def watch(console: Console, look: Look) -> None:
    """On a terminal live until nothing runs or waits any more, or Ctrl-C; elsewhere once."""
    seen = look()
    if not console.is_terminal:
        console.print(overview(seen), soft_wrap=True)
        return
    with Live(overview(seen), console=console, refresh_per_second=1) as live:
        try:
            while any(where.kind in {"running", "pending"} for _, where in seen):
                time.sleep(REFRESH_SECONDS)
                seen = look()
                live.update(overview(seen))
        except KeyboardInterrupt:
            return


def overview(seen: Sequence[tuple[Cell, Situation]]) -> Group:
    """One line a run, and the counts."""
    table = Table(box=None, pad_edge=False)
    for name, align in (("data", "left"), ("method", "left"), ("labels", "right"), ("seed", "right")):
        table.add_column(name, justify=align, no_wrap=True)  # type: ignore[arg-type]
    table.add_column("state", no_wrap=True)
    table.add_column("step", justify="right", no_wrap=True)
    table.add_column("", overflow="fold")
    for cell, where in seen:
        key = (cell.dataset, cell.method, cell.labels, str(cell.seed))
        state = Text(where.kind, style=COLOURS.get(where.kind, "dim"))
        table.add_row(*map(Text, key), state, f"{where.step:,}/{where.steps:,}", Text(where.detail))
    return Group(table, Text(counts([where for _, where in seen])))


def counts(situations: Sequence[Situation]) -> str:
    """As "6 runs: 2 done, 4 pending"."""
    found = Counter(where.kind for where in situations)
    return f"{len(situations)} runs: " + ", ".join(f"{found[kind]} {kind}" for kind in ORDER if found[kind])
