"""Error and calibration of finished runs side by side: a table, and reliability diagrams with --plot.

    python pipeline/compare.py RUN [RUN ...] [--plot FILE.png] [--format rich|markdown]

Reads `result.json`, `predictions.npz` and, if there, `config.yaml` of each run folder. Every number is computed
again from the predictions and must agree with `result.json`.
"""

import argparse
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pipeline.calibration.scores import metrics
from pipeline.report.naming import run_names, short_folders
from pipeline.report.resampling import calibrated_floor
from pipeline.report.tables import table
from pipeline.runs.read import RUN_REMEDY, ece_bins, read_config, read_predictions, read_result

_HEADER = ("run", "error %", "ECE %", "ECE-15 %", "floor %", "seconds", "steps")
_LEGEND = (
    "ECE: 10 equal bins; ECE-15: 15. floor: mean / 97.5% quantile of the ECE (10 bins) that a perfectly calibrated "
    "model with the same confidences would get on as many samples."
)
_TOLERANCE = 1e-6  # of percent, and of the natural units of nll and brier


@dataclass(frozen=True)
class Run:
    """A finished run: `logits` float [N, C] and `labels` int [N] of the test set, `result` as in result.json."""

    folder: Path
    config: dict[str, Any]
    result: dict[str, Any]
    logits: NDArray[Any]
    labels: NDArray[Any]


def read_run(folder: Path) -> Run:
    """Reads a run folder and verifies its numbers; ValueError naming the file if one is missing, broken or differs."""
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such run folder; give the folder that holds result.json")
    result = read_result(folder / "result.json")
    logits, labels = read_predictions(folder / "predictions.npz", RUN_REMEDY)
    config = read_config(folder / "config.yaml")
    _verify(folder, result, metrics_of(folder / "predictions.npz", logits, labels, ece_bins(config)))
    return Run(folder, config, result, logits, labels)


def metrics_of(path: Path, logits: NDArray[Any], labels: NDArray[Any], bins: int) -> dict[str, float]:
    """`calibration.metrics`, whose ValueError then names the file."""
    try:
        return metrics(logits, labels, bins)
    except ValueError as error:
        raise ValueError(f"{path}: {error}; evaluate the run again") from error


def _verify(folder: Path, result: dict[str, Any], computed: dict[str, float]) -> None:
    for name, value in computed.items():
        stored = result.get(name)
        if not isinstance(stored, int | float):
            raise ValueError(f"{folder / 'result.json'} has no number `{name}`; delete it and resume the run")
        if not math.isclose(stored, value, rel_tol=0, abs_tol=_TOLERANCE):
            raise ValueError(
                f"{folder / 'result.json'} says {name} {stored}, but predictions.npz gives {value}: "
                "the two files are not of one run; delete result.json and resume the run"
            )


def table_row(name: str, run: Run) -> tuple[str, ...]:
    """The cells of one run, in the order of the table's header; "-" for a time or step that result.json lacks."""
    floor = calibrated_floor(run.logits, ece_bins=ece_bins(run.config))
    percents = (f"{run.result[key]:.2f}" for key in ("error", "ece", "ece15"))
    seconds, step = run.result.get("seconds"), run.result.get("step")
    return (
        name,
        *percents,
        f"{floor['ece_mean']:.2f} / {floor['ece_high']:.2f}",
        f"{seconds:,.0f}" if isinstance(seconds, int | float) else "-",
        f"{step:,}" if isinstance(step, int) else "-",
    )


def rich_table(rows: Sequence[Sequence[str]]) -> Table:
    """The same table for a terminal."""
    grid = Table(caption=_LEGEND, caption_justify="left")
    for column, title in enumerate(_HEADER):
        grid.add_column(title, justify="right" if column else "left", overflow="fold", no_wrap=column > 0)
    for row in rows:
        grid.add_row(*map(escape, row))
    return grid


def write_plot(path: Path, names: Sequence[str], runs: Sequence[Run]) -> None:
    """Writes reliability diagrams to `path`; ValueError naming --plot if its folder or file type will not do."""
    from pipeline.report.plots import reliability_figure  # here, since matplotlib takes longer to import than the table

    figure = reliability_figure([(name, run.logits, run.labels) for name, run in zip(names, runs, strict=True)])
    supported = figure.canvas.get_supported_filetypes()
    if path.suffix[1:].lower() not in supported:
        raise ValueError(f"--plot {path}: unknown file type; end it in one of .{', .'.join(sorted(supported))}")
    try:
        figure.savefig(path)
    except OSError as error:
        raise ValueError(f"--plot {path}: {error.strerror or error}; choose a file that can be written") from error


def compare(folders: Sequence[Path], plot: Path | None, layout: str) -> None:
    """Writes the plot and prints the table of the runs; ValueError as in `read_run` and `write_plot`."""
    short_folders(folders)  # complains of a run given twice before anything is read
    runs = [read_run(folder) for folder in folders]
    names = run_names([run.config for run in runs], folders)
    if plot is not None:
        write_plot(plot, names, runs)
    rows = [table_row(name, run) for name, run in zip(names, runs, strict=True)]
    if layout == "rich":
        Console().print(rich_table(rows))
    else:
        print(f"{table(_HEADER, rows).markdown()}\n\n{_LEGEND}")
    if plot is not None:
        print(f"\nreliability diagrams: {plot}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="compare.py", description="Compare error and calibration of finished runs.")
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="run folder, as written by pipeline/train.py")
    parser.add_argument("--plot", type=Path, metavar="FILE.png", help="write reliability diagrams of the runs")
    parser.add_argument(
        "--format",
        choices=("rich", "markdown"),
        default="rich" if sys.stdout.isatty() else "markdown",
        help="table for a terminal or for a paper (default: rich on a terminal, else markdown)",
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
