"""Error and calibration of finished runs side by side: a table, and reliability diagrams with --plot.

    python pipeline/compare.py RUN [RUN ...] [--plot FILE.png] [--format rich|markdown]
    python pipeline/compare.py RUN [RUN ...] --against mixing.alpha [--scores ece oe_plain ue_plain] [--plot FILE.png]

Reads `result.json`, `predictions.npz` and, if there, `config.yaml` of each run folder. Every number is computed again
from the predictions and must agree with `result.json`. With --against the table and the plot are of the means over
seeds, by the value that the runs have of an option.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import rich.table
from rich.console import Console
from rich.markup import escape

from pipeline.calibration.scores import reported
from pipeline.report.against import ACROSS, SHOWN, Point, against_table, curves
from pipeline.report.naming import run_names, short_folders
from pipeline.report.resampling import PreparedPredictions
from pipeline.report.simulated_floor import simulated_floor
from pipeline.report.tables import Table, table
from pipeline.report.verified_predictions import VerifiedPredictions, read_run

FLOOR_DRAWS = 200
OVER_SEEDS = (
    "mean ± standard deviation (ddof 0) over seeds. floor: the ECE to expect of a perfectly calibrated model with the "
    "same confidences."
)
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


def run_table(runs: Sequence[VerifiedPredictions], names: Sequence[str]) -> Table:
    """A row for each run."""
    return table(_HEADER, [table_row(name, run) for name, run in zip(names, runs, strict=True)])


def legend(runs: Sequence[VerifiedPredictions]) -> str:
    """How to read the table."""
    bins = " or ".join(str(number) for number in sorted({run.settings.ece_bins for run in runs}))
    return (
        f"ECE: {bins} equal bins; ECE-15: 15. floor (simulated): mean / 97.5% quantile of the ECE ({bins} bins) that a "
        "perfectly calibrated model with the same confidences would get on as many samples."
    )


def rich_table(of: Table, caption: str) -> rich.table.Table:
    """The table for a terminal."""
    grid = rich.table.Table(caption=caption, caption_justify="left")
    for column, title in enumerate(of.header):
        grid.add_column(title, justify="right" if column else "left", overflow="fold", no_wrap=column > 0)
    for row in of.rows:
        grid.add_row(*map(escape, row))
    return grid


def compare(folders: Sequence[Path], plot: Path | None, layout: str) -> None:
    """Writes the plot and prints the table of the runs; ValueError naming what cannot be read, compared or written."""
    runs = read_runs(folders)
    names = run_names([run.settings.method for run in runs], folders)
    if plot is not None:
        from pipeline.report.plot_files import write_reliability

        write_reliability(plot, names, runs, "--plot")
    _print(run_table(runs, names), legend(runs), layout)
    _say("reliability diagrams", plot)


def compare_against(
    folders: Sequence[Path], option: str, scores: Sequence[str] | None, plot: Path | None, layout: str
) -> None:
    """The same of means over seeds by the value of an option; `scores` of SHOWN, None: those of each form."""
    found: Mapping[str, Sequence[Point]] = curves(read_runs(folders), option)
    if plot is not None:
        from pipeline.report.plot_files import write_against  # matplotlib takes longer to import than to tabulate

        write_against(plot, found, option, scores, "--plot")
    _print(against_table(found, option, scores or ACROSS), OVER_SEEDS, layout)
    _say(f"curves against {option}", plot)


def _print(of: Table, caption: str, layout: str) -> None:
    if layout == "rich":
        Console().print(rich_table(of, caption))
    else:
        print(f"{of.markdown()}\n\n{caption}")


def _say(what: str, plot: Path | None) -> None:
    if plot is not None:
        print(f"\n{what}: {plot}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="compare.py", description="Compare the error and the calibration of finished runs in one table."
    )
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="a run folder written by pipeline/train.py")
    parser.add_argument(
        "--plot",
        type=Path,
        metavar="FILE.png",
        help="also draw the reliability diagrams of the runs, or with --against the curves, into this file",
    )
    parser.add_argument(
        "--against",
        metavar="OPTION",
        help="compare by this option of the runs, such as mixing.alpha (0 where mix is none): means over seeds, and "
        "with --plot curves of ECE, OE and accuracy",
    )
    parser.add_argument(
        "--scores",
        nargs="+",
        choices=tuple(SHOWN),
        help="with --against: what to tabulate and to draw (default: error, ECE and OE; ECE, OE and accuracy)",
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
        if options.against is not None:
            compare_against(options.runs, options.against, options.scores, options.plot, options.format)
        elif options.scores is not None:
            raise ValueError("--scores goes with --against OPTION; give that too")
        else:
            compare(options.runs, options.plot, options.format)
    except (ValueError, OSError) as error:  # an OSError, such as a file without read permission, names its file
        print(f"compare.py: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
