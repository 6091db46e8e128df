"""The table of a grid: ``python slurm/collect.py --grid configs/table3.yaml``. Works on half-finished grids.

Writes GRID.md, GRID.tex, GRID.csv, GRID.png and GRID-runs.csv, which names run folder, commit and split hash behind
every number, and prints the Markdown.
"""

import argparse
import csv
import sys
from collections.abc import Sequence
from pathlib import Path

from slurm import grid, overview, tables
from slurm.grid import Grid
from slurm.results import entries, sources


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code: 2 for a user's mistake, said in one line."""
    given = _parser().parse_args(arguments)
    try:
        found = grid.load(given.grid, given.set, given.root, given.only)
        print(collect(found, given.out or found.root / "tables"))
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def collect(found: Grid, out: Path) -> str:
    """Writes all files into ``out``; returns the Markdown."""
    title = found.name if found.paper_table is None else f"{found.name}: Table {found.paper_table} of the paper"
    table = entries(found)
    out.mkdir(parents=True, exist_ok=True)
    text = tables.markdown(table, title)
    (out / f"{found.name}.md").write_text(text)
    (out / f"{found.name}.tex").write_text(tables.latex(table, title))
    (out / f"{found.name}.csv").write_text(tables.as_csv(table))
    rows = sources(found)
    with (out / f"{found.name}-runs.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    overview.write(out / f"{found.name}.png", table, title)
    return f"{text}\nwritten: {out / found.name}.md, .tex, .csv, .png and -runs.csv"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="collect.py", description="The table of a grid beside the paper's.")
    parser.add_argument("--grid", required=True, metavar="FILE", help="as configs/table1.yaml")
    parser.add_argument("--only", metavar="KEY=VALUE,...", help="some cells, as in submit.py")
    parser.add_argument("--set", nargs="+", action="extend", default=[], metavar="a.b=c", help="as in submit.py")
    parser.add_argument("--root", type=Path, help="the folder of all runs, instead of the grid's")
    parser.add_argument("--out", type=Path, metavar="DIR", help="where the files go (default: ROOT/tables)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
