"""What a grid's runs came to: mean and std over seeds for every entry of the table, beside the paper's."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from pipeline.calibration.scores import slices, softmax
from pipeline.calibration.sums import bin_index
from pipeline.config import changed_options
from slurm import paper, runs
from slurm.grid import Cell, Grid
from slurm.paper import Published

METRICS = ("ece", "error")


@dataclass(frozen=True)
class Entry:
    """One number of the table, in percent. ``values`` and ``floor`` hold the finished seeds alone."""

    metric: str
    method: str
    dataset: str
    labels: str
    group: str  # what it is compared with when the best is set in bold
    values: tuple[float, ...]
    wanted: int  # seeds in the grid
    floor: float | None  # ECE that a perfectly calibrated model would score, mean over seeds; None for the error
    paper: Published | None

    @property
    def mean(self) -> float | None:
        """Over the finished seeds; None where there are none."""
        return float(np.mean(self.values)) if self.values else None

    @property
    def std(self) -> float:
        """Of the population (ddof 0), as the paper's are taken to be."""
        return float(np.std(self.values)) if self.values else 0.0

    @property
    def difference(self) -> float | None:
        """Ours less the paper's."""
        return self.mean - self.paper.mean if self.mean is not None and self.paper else None

    @property
    def noise(self) -> float:
        """What a difference to the paper must exceed to say anything.

        Two standard errors of both means (the paper's over 3 runs), and for the ECE no less than the floor: below it
        a test set of this size cannot tell a perfect model from a good one.
        """
        if not self.values or not self.paper:
            return math.nan
        theirs = self.paper.std or 0.0
        ours = self.std if len(self.values) > 1 else theirs  # one run does not say how much runs differ
        spread = 2 * math.hypot(ours / math.sqrt(len(self.values)), theirs / math.sqrt(3))
        return max(spread, self.floor or 0.0)


def entries(grid: Grid) -> list[Entry]:
    """Every entry in the grid's order, all of ECE first. Raises ValueError where a run is not the grid's."""
    published = paper.table(grid.paper_table) if grid.paper_table else {}
    cells: dict[tuple[str, str, str], list[Cell]] = {}
    for cell in grid.cells:
        cells.setdefault((cell.method, cell.dataset, cell.labels), []).append(cell)
    found = {key: [_finished(cell) for cell in group] for key, group in cells.items()}
    return [
        _entry(metric, key, cells[key], [r for r in found[key] if r], published.get((metric, *key)))
        for metric in METRICS
        for key in cells
    ]


def _entry(
    metric: str,
    key: tuple[str, str, str],
    cells: Sequence[Cell],
    results: Sequence[dict[str, Any]],
    published: Published | None,
) -> Entry:
    config = cells[0].config
    floors = [r["floor"] for r in results]
    floor = float(np.mean(floors)) if floors and metric == "ece" else None
    # The paper sets the best of each base method in bold, apart for the rows with and without label smoothing.
    group = f"{config.algorithm}{' + LS' if config.label_smoothing else ''}"
    return Entry(metric, *key, group, tuple(r[metric] for r in results), len(cells), floor, published)


def _finished(cell: Cell) -> dict[str, Any] | None:
    """result.json with "floor"; None while the run is not over. ValueError where the folder holds another run."""
    found = runs.result(cell.folder)
    if found is None:
        return None
    try:
        saved = yaml.load(
            (cell.folder / "config.yaml").read_text(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        )
    except (OSError, yaml.YAMLError) as error:
        raise ValueError(f"{cell.folder / 'config.yaml'}: cannot be read ({error}); move the folder away") from None
    for name, there, wanted in changed_options(saved, cell.config):
        raise ValueError(f"{cell.folder}: was run with {name}={there}, the grid wants {wanted}; move it away")
    return {**found, "floor": _floor(cell.folder / "predictions.npz", cell.config.evaluation.ece_bins)}


def _floor(path: Path, bins: int) -> float:
    try:
        with np.load(path) as arrays:
            return ece_floor(arrays["logits"], bins)
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(f"{path}: cannot be read ({error}); delete result.json and submit again") from None


def ece_floor(logits: NDArray[np.floating[Any]], bins: int = 10) -> float:
    """The ECE in percent that a perfectly calibrated model with these confidences would score on as many samples.

    ``logits`` [N, C]. In each bin correct - confidence sums to about N(0, sum p(1-p)), whose expected size is
    sqrt(2/pi) standard deviations. Bins are [lo, hi), the last closed.
    """
    parts = (softmax(logits[part].astype(np.float64)) for part in slices(*logits.shape))
    confidence = np.concatenate([part.max(axis=1) for part in parts])
    index = bin_index(confidence, bins, "left")
    variance = np.bincount(index, confidence * (1 - confidence), bins)
    return 100 * float(np.sqrt(2 / np.pi * variance).sum()) / len(confidence)


def best(table: Sequence[Entry]) -> set[tuple[str, str, str, str]]:
    """(metric, method, dataset, labels) of our lowest number in each group and column, of at least two."""
    columns: dict[tuple[str, str, str, str], list[Entry]] = {}
    for entry in table:
        if entry.mean is not None:
            columns.setdefault((entry.metric, entry.dataset, entry.labels, entry.group), []).append(entry)
    chosen = set()
    for rivals in columns.values():
        lowest = min(round(e.mean or 0.0, 2) for e in rivals)
        if len(rivals) > 1:
            chosen |= {(e.metric, e.method, e.dataset, e.labels) for e in rivals if round(e.mean or 0.0, 2) == lowest}
    return chosen


def sources(grid: Grid) -> list[dict[str, Any]]:
    """Where each number comes from: a row for every cell, unfinished ones too."""
    rows = []
    for cell in grid.cells:
        job, made = (runs.read_json(cell.folder / name) for name in ("job.json", "environment.json"))
        found = runs.result(cell.folder) or {}
        rows.append(
            {
                "dataset": cell.dataset,
                "method": cell.method,
                "labels": cell.labels,
                "seed": cell.seed,
                "error": found.get("error", ""),
                "ece": found.get("ece", ""),
                "step": found.get("step", ""),
                "run": str(cell.folder),
                "commit": made.get("git") or job.get("commit", ""),
                "split_sha256": job.get("split_sha256") or "",
                "job": job.get("job", ""),
            }
        )
    return rows
