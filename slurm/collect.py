"""Makes the table of a grid, finished or not: ``python slurm/collect.py --grid configs/table3.yaml``.

Prints it in Markdown and writes GRID.md, GRID.tex, GRID.csv, GRID.png and GRID-runs.csv, which names the run folder,
commit and split behind every number.
"""

import argparse
import csv
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path

from slurm.grids import grid
from slurm.grids.grid import Grid
from slurm.outcome import table_figure, tables
from slurm.outcome.entries import Source, entries, sources
from slurm.outcome.keep import keep


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code: 2 for a user's mistake, explained in one line."""
    given = _parser().parse_args(arguments)
    try:
        found = grid.load(given.grid, given.set, given.root, given.only)
        if given.keep:
            print(f"kept: {keep(found.runs().values(), found.root, given.keep)} finished runs in {given.keep}")
        print(collect(found, given.out or found.root / "tables"))
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def collect(found: Grid, out: Path) -> str:
    """Writes all files into ``out``; returns the Markdown."""
    title = found.name if found.paper is None else f"{found.name}: table {found.paper}"
    table = entries(found)
    out.mkdir(parents=True, exist_ok=True)
    text = tables.markdown(table, title)
    (out / f"{found.name}.md").write_text(text)
    (out / f"{found.name}.tex").write_text(tables.latex(table, title))
    (out / f"{found.name}.csv").write_text(tables.as_csv(table))
    _write_sources(out / f"{found.name}-runs.csv", sources(found))
    table_figure.write(out / f"{found.name}.png", table, title)
    return f"{text}\nwritten: {out / found.name}.md, .tex, .csv, .png and -runs.csv"


def _write_sources(path: Path, rows: Sequence[Source]) -> None:
    with path.open("w", newline="") as file:
        names = [field.name for field in dataclasses.fields(Source)]
        writer = csv.DictWriter(file, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(map(dataclasses.asdict, rows))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="collect.py", description="Make the table of a grid beside the paper's.")
    add = parser.add_argument
    add("--grid", required=True, metavar="FILE", help="grid file that the runs were submitted with")
    add("--only", metavar="KEY=VALUE,...", help="take some of the grid's runs, such as 'dataset=cifar10|svhn'")
    add("--set", nargs="+", action="extend", default=[], metavar="a.b=c", help="the --set options of submit.py")
    add("--root", type=Path, metavar="DIR", help="folder that holds all runs (default: the grid file's, or runs)")
    add("--out", type=Path, metavar="DIR", help="folder for the files of the table (default: ROOT/tables)")
    add("--keep", type=Path, metavar="DIR", help="copy finished runs without weights there, for a repository")
    return parser


if __name__ == "__main__":
    sys.exit(main())
