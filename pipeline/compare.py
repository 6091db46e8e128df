"""Error and calibration of finished runs side by side: a table, and reliability diagrams with --plot.

    python pipeline/compare.py RUN [RUN ...] [--plot FILE.png] [--format rich|markdown]

Reads `result.json`, `predictions.npz` and, if there, `config.yaml` of each run folder. Every number is computed
again from the predictions and must agree with `result.json`.
"""

import argparse
import json
import math
import pickle
import sys
import zipfile
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pipeline.calibration import calibrated_floor, metrics

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
    result = _read_result(folder / "result.json")
    logits, labels = _read_predictions(folder / "predictions.npz")
    _verify(folder, result, logits, labels)
    return Run(folder, _read_config(folder / "config.yaml"), result, logits, labels)


def _read_result(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise ValueError(f"{path} is missing: the run has not finished; start it again to resume it")
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not valid JSON ({error}); delete it and resume the run") from error
    if not isinstance(result, dict):
        raise ValueError(f"{path} holds no JSON object; delete it and resume the run")
    return result


def _read_predictions(path: Path) -> tuple[NDArray[Any], NDArray[Any]]:
    remedy = "delete result.json and resume the run to write it again"
    if not path.is_file():
        raise ValueError(f"{path} is missing; {remedy}")
    try:
        with np.load(path) as arrays:
            return arrays["logits"], arrays["labels"]
    except KeyError as error:
        raise ValueError(f"{path} must hold `logits` and `labels`; {remedy}") from error
    # A damaged archive shows in any of these, depending on which byte is wrong; a plain .npy is no context manager.
    except (ValueError, OSError, EOFError, TypeError, zipfile.BadZipFile, zlib.error, pickle.UnpicklingError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f"{path} is not a readable .npz file ({reason}); {remedy}") from error


def _read_config(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{path} is not valid YAML ({reason}); restore it or delete it") from error
    return config if isinstance(config, dict) else {}


def _verify(folder: Path, result: dict[str, Any], logits: NDArray[Any], labels: NDArray[Any]) -> None:
    try:
        computed = metrics(logits, labels)
    except ValueError as error:
        raise ValueError(f"{folder / 'predictions.npz'}: {error}; evaluate the run again") from error
    for name, value in computed.items():
        stored = result.get(name)
        if not isinstance(stored, int | float):
            raise ValueError(f"{folder / 'result.json'} has no number `{name}`; delete it and resume the run")
        if not math.isclose(stored, value, rel_tol=0, abs_tol=_TOLERANCE):
            raise ValueError(
                f"{folder / 'result.json'} says {name} {stored}, but predictions.npz gives {value}: "
                "the two files are not of one run; delete result.json and resume the run"
            )


def run_names(runs: Sequence[Run]) -> list[str]:
    """A short distinct name per run: algorithm and mix, and the folder where that is missing or the same twice."""
    methods = [_method(run.config) for run in runs]
    folders = short_folders([run.folder for run in runs])
    repeats = Counter(methods)
    names = []
    for method, folder in zip(methods, folders, strict=True):
        parts = [method] if repeats[method] == 1 else [method, folder]
        names.append(", ".join(parts) if method else folder)
    return names


def _method(config: dict[str, Any]) -> str:
    algorithm, mix = config.get("algorithm", ""), config.get("mix", "none")
    return str(algorithm) if mix == "none" or not algorithm else f"{algorithm} + {mix}"


def short_folders(folders: Sequence[Path]) -> list[str]:
    """Each folder's fewest last parts that set it apart from the others; ValueError if one is given twice."""
    resolved = [folder.resolve() for folder in folders]
    for folder, times in Counter(resolved).items():
        if times > 1:
            raise ValueError(f"{folder} is given {times} times; give each run once")
    names = [_tail(folder, 1) for folder in resolved]
    length = 1
    while len(set(names)) < len(names):
        length, repeats = length + 1, Counter(names)
        for position, folder in enumerate(resolved):
            if repeats[names[position]] > 1:
                names[position] = _tail(folder, length)
    return names


def _tail(folder: Path, length: int) -> str:
    return "/".join(folder.parts[-length:])


def table_row(name: str, run: Run) -> tuple[str, ...]:
    """The cells of one run, in the order of the table's header; "-" for a time or step that result.json lacks."""
    floor = calibrated_floor(run.logits)
    percents = (f"{run.result[key]:.2f}" for key in ("error", "ece", "ece15"))
    seconds, step = run.result.get("seconds"), run.result.get("step")
    return (
        name,
        *percents,
        f"{floor['ece_mean']:.2f} / {floor['ece_high']:.2f}",
        f"{seconds:,.0f}" if isinstance(seconds, int | float) else "-",
        f"{step:,}" if isinstance(step, int) else "-",
    )


def markdown_table(rows: Sequence[Sequence[str]]) -> str:
    """A GitHub-flavoured table: names to the left, numbers to the right, columns padded to read as plain text too."""
    cells = [[cell.replace("|", "\\|") for cell in row] for row in (_HEADER, *rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(_HEADER))]
    lines = ["| " + " | ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) + " |" for row in cells]
    rule = "|:" + "-" * (widths[0] + 1) + "|" + "|".join("-" * (width + 1) + ":" for width in widths[1:]) + "|"
    return "\n".join([lines[0], rule, *lines[1:]])


def rich_table(rows: Sequence[Sequence[str]]) -> Table:
    """The same table for a terminal."""
    table = Table(caption=_LEGEND, caption_justify="left")
    for column, title in enumerate(_HEADER):
        table.add_column(title, justify="right" if column else "left", overflow="fold", no_wrap=column > 0)
    for row in rows:
        table.add_row(*map(escape, row))
    return table


def write_plot(path: Path, names: Sequence[str], runs: Sequence[Run]) -> None:
    """Writes reliability diagrams to `path`; ValueError naming --plot if its folder or file type will not do."""
    from pipeline.plots import reliability_figure  # here, since matplotlib takes longer to import than the table

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
    names = run_names(runs)
    if plot is not None:
        write_plot(plot, names, runs)
    rows = [table_row(name, run) for name, run in zip(names, runs, strict=True)]
    if layout == "rich":
        Console().print(rich_table(rows))
    else:
        print(f"{markdown_table(rows)}\n\n{_LEGEND}")
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
