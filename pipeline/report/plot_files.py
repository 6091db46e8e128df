"""The one figure that a command writes into a file the user names."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from pipeline.report.against import Point
from pipeline.report.plots import reliability_figure
from pipeline.report.plots_against import PANELS, against_figure
from pipeline.report.plots_balance import balance_figure
from pipeline.report.plots_entropy import entropy_figure
from pipeline.report.verified_predictions import VerifiedPredictions


def write_reliability(path: Path, names: Sequence[str], runs: Sequence[VerifiedPredictions], option: str) -> None:
    """Reliability diagrams of the runs; ValueError as in `write_figure`."""
    each = [(name, run.logits, run.labels) for name, run in zip(names, runs, strict=True)]
    write_figure(path, reliability_figure(each), option)


def write_against(
    path: Path, found: Mapping[str, Sequence[Point]], of: str, scores: Sequence[str] | None, option: str
) -> None:
    """Curves of `scores` against the option `of` of the runs; ValueError as in `write_figure`."""
    write_figure(path, against_figure(found, of, scores or PANELS), option)


def write_entropies(path: Path, alphas: Sequence[float], same_class: float, option: str) -> None:
    """Entropies of mixup's labels by alpha; ValueError as in `write_figure`."""
    write_figure(path, entropy_figure(alphas, same_class), option)


def write_balance(path: Path, alphas: tuple[float, float], option: str) -> None:
    """Which of the labels of `alphas` each loss fits better; ValueError as in `write_figure`."""
    write_figure(path, balance_figure(alphas), option)


def write_figure(path: Path, figure: Figure, option: str) -> None:
    """Writes `path`; ValueError naming the command's `option` if its folder or file type will not do."""
    supported = figure.canvas.get_supported_filetypes()
    if path.suffix[1:].lower() not in supported:
        raise ValueError(f"{option} {path}: unknown file type; use one of .{', .'.join(sorted(supported))}")
    try:
        figure.savefig(path)
    except OSError as error:
        raise ValueError(f"{option} {path}: {error.strerror or error}; choose a file that can be written") from error
