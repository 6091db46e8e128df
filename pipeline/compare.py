"""Error and calibration of finished runs side by side: a table, and reliability diagrams with --plot.

    python pipeline/compare.py RUN [RUN ...] [--plot FILE.png] [--format rich|markdown]

Reads `result.json`, `predictions.npz` and, if there, `config.yaml` of each run folder. Every number is computed again
from the predictions and must agree with `result.json`.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pipeline.calibration.scores import reported
from pipeline.report.naming import run_names, short_folders
from pipeline.report.resampling import PreparedPredictions
from pipeline.report.simulated_floor import simulated_floor
from pipeline.report.tables import table
from pipeline.report.verified_predictions import VerifiedPredictions, read_run

FLOOR_DRAWS = 200
_HEADER = ("run", "error %", "ECE %", "ECE-15 %", "floor %", "seconds", "steps")


def read_runs(folders: Sequence[Path]) -> list[VerifiedPredictions]:
    """ValueError naming the file that is missing, damaged or contradicted by another, or a folder given twice."""
    short_folders(folders)  # before anything is read
    for folder in folders:
        if not folder.is_dir():
            raise ValueError(f"{folder}: no such run folder; give the folder that holds result.json")
    return [read_run(folder) for folder in folders]


def table_row(name: str, run: VerifiedPredictions) -> tuple[str, ...]:
    """The cells of one run, in the order of the table's header; "-" for a time or step that is not known."""
    prepared = PreparedPredictions(run.logits, run.labels, run.settings.ece_bins)
    floor = simulated_floor(prepared, FLOOR_DRAWS)["ece"]
    values = reported(run.sums)
    return (
        name,
        *(f"{values[key]:.2f}" for key in ("error", "ece", "ece15")),
        f"{floor.mean:.2f} / {floor.high:.2f}",
        "-" if run.seconds is None else f"{run.seconds:,.0f}",
        "-" if run.step is None else f"{run.step:,}",
    )


def legend(runs: Sequence[VerifiedPredictions]) -> str:
    """How to read the table."""
    bins = " or ".join(str(number) for number in sorted({run.settings.ece_bins for run in runs}))
    return (
        f"ECE: {bins} equal bins; ECE-15: 15. floor (simulated): mean / 97.5% quantile of the ECE ({bins} bins) that a "
        "perfectly calibrated model with the same confidences would get on as many samples."
    )


def rich_table(rows: Sequence[Sequence[str]], caption: str) -> Table:
    """The table for a terminal."""
    grid = Table(caption=caption, caption_justify="left")
    for column, title in enumerate(_HEADER):
        grid.add_column(title, justify="right" if column else "left", overflow="fold", no_wrap=column > 0)
    for row in rows:
        grid.add_row(*map(escape, row))
    return grid


def write_plot(path: Path, names: Sequence[str], runs: Sequence[VerifiedPredictions]) -> None:
    """Writes reliability diagrams to `path`; ValueError naming --plot if its folder or file type will not do."""
    from pipeline.report.plots import reliability_figure  # matplotlib takes longer to import than the table to make

    figure = reliability_figure([(name, run.logits, run.labels) for name, run in zip(names, runs, strict=True)])
    supported = figure.canvas.get_supported_filetypes()
    if path.suffix[1:].lower() not in supported:
        raise ValueError(f"--plot {path}: unknown file type; use one of .{', .'.join(sorted(supported))}")
    try:
        figure.savefig(path)
    except OSError as error:
        raise ValueError(f"--plot {path}: {error.strerror or error}; choose a file that can be written") from error


def compare(folders: Sequence[Path], plot: Path | None, layout: str) -> None:
    """Writes the plot and prints the table of the runs; ValueError as in `read_runs` and `write_plot`."""
    runs = read_runs(folders)
    names = run_names([run.settings.method for run in runs], folders)
    if plot is not None:
        write_plot(plot, names, runs)
    rows = [table_row(name, run) for name, run in zip(names, runs, strict=True)]
    if layout == "rich":
        Console().print(rich_table(rows, legend(runs)))
    else:
        print(f"{table(_HEADER, rows).markdown()}\n\n{legend(runs)}")
    if plot is not None:
        print(f"\nreliability diagrams: {plot}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="compare.py", description="Compare the error and the calibration of finished runs in one table."
    )
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="a run folder written by pipeline/train.py")
    parser.add_argument(
        "--plot", type=Path, metavar="FILE.png", help="also draw the reliability diagrams of the runs into this file"
    )
    parser.add_argument(
        "--format",
        choices=("rich", "markdown"),
        default="rich" if sys.stdout.isatty() else "markdown",
        help="print a table for the terminal or in Markdown (default: rich on a terminal, otherwise markdown)",
    )
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code: 0, or 2 after one line on stderr about the user's mistake."""
    options = _parser().parse_args(arguments)
    try:
        compare(options.runs, options.plot, options.format)
    except (ValueError, OSError) as error:  # an OSError, such as a file without read permission, names its file
        print(f"compare.py: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
