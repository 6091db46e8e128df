"""The entries of a grid's table: mean and std over seeds, beside the paper's values, and where each comes from."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.config import changed_options
from pipeline.config.options import LABELLED_ONLY
from pipeline.runs.read import finished_result, is_finished, read_commit, read_config, read_result
from slurm.grids import paper
from slurm.grids.grid import Cell, Grid
from slurm.grids.paper import Key, Published
from slurm.jobs.history import JobRecord, last_job
from slurm.outcome import temperatures
from slurm.outcome.floors import FLOORED, floors

NO_MERIT = ("floor", "temperature", "temperature_nll")  # less of which is not better


@dataclass(frozen=True)
class Entry:
    """One number of the table, in percent; ``values`` and ``floor`` are those of the finished seeds."""

    metric: str
    method: str
    dataset: str
    labels: str
    group: str  # entries of a column that compete for bold
    values: tuple[float, ...]
    wanted: int  # seeds in the grid
    floor: float | None  # the ECE expected of a perfectly calibrated model, mean over seeds; None for other metrics
    paper: Published | None

    @property
    def key(self) -> Key:
        return self.metric, self.method, self.dataset, self.labels

    @property
    def mean(self) -> float | None:
        """Over the finished seeds; None where there are none."""
        return float(np.mean(self.values)) if self.values else None

    @property
    def std(self) -> float:
        """Of the population (ddof 0), as we take the paper's to be."""
        return float(np.std(self.values)) if self.values else 0.0

    @property
    def difference(self) -> float | None:
        """Our mean minus the paper's."""
        return self.mean - self.paper.mean if self.mean is not None and self.paper else None

    @property
    def noise(self) -> float:
        """The smallest difference from the paper that means anything.

        Two standard errors of both means (the paper's over 3 runs), and for the ECE at least the floor: below it a test
        set of this size cannot tell a perfect model from a good one.
        """
        if not self.values or not self.paper:
            return math.nan
        theirs = self.paper.std or 0.0
        ours = self.std if len(self.values) > 1 else theirs  # a single run does not tell how much runs differ
        spread = 2 * math.hypot(ours / math.sqrt(len(self.values)), theirs / math.sqrt(3))
        return max(spread, self.floor or 0.0)


def entries(grid: Grid) -> list[Entry]:
    """Every entry in the grid's order, metric by metric. Raises ValueError where a run is not the grid's."""
    published = paper.table(grid.paper) if grid.paper else {}
    cells: dict[tuple[str, str, str], list[Cell]] = {}
    for cell in grid.cells:
        cells.setdefault((cell.method, cell.dataset, cell.labels), []).append(cell)
    scaled = not set(temperatures.NAMES).isdisjoint(grid.metrics)
    found = {key: [run for cell in group if (run := _finished(cell, scaled))] for key, group in cells.items()}
    return [
        _entry((metric, *key), cells[key], found[key], published.get((metric, *key)))
        for metric in grid.metrics
        for key in cells
    ]


def best_entries(table: Sequence[Entry]) -> set[Key]:
    """Keys of our lowest numbers, as printed, in each group and column that has at least two."""
    columns: dict[Key, list[tuple[float, Key]]] = {}
    for entry in table:
        if entry.mean is not None and entry.metric not in NO_MERIT:
            column = (entry.metric, entry.dataset, entry.labels, entry.group)
            columns.setdefault(column, []).append((round(entry.mean, 2), entry.key))
    rivals = [column for column in columns.values() if len(column) > 1]
    return {key for column in rivals for value, key in column if value == min(column)[0]}


@dataclass(frozen=True)
class Source:
    """Where a cell's numbers come from; None or "" for what is not known yet."""

    dataset: str
    method: str
    labels: str
    seed: int
    error: float | None
    ece: float | None
    step: int | None
    run: str  # folder
    commit: str
    split_sha256: str | None
    job: str


def sources(grid: Grid) -> list[Source]:
    """One for every cell, also where its run is not finished."""
    found = []
    for cell in grid.cells:
        result, job = finished_result(cell.folder), last_job(cell.folder) or JobRecord()
        source = Source(
            dataset=cell.dataset,
            method=cell.method,
            labels=cell.labels,
            seed=cell.seed,
            error=result.error if result else None,
            ece=result.ece if result else None,
            step=result.step if result else None,
            run=str(cell.folder),
            commit=read_commit(cell.folder) or job.commit,
            split_sha256=job.split_sha256,
            job=job.job,
        )
        found.append(source)
    return found


@dataclass(frozen=True)
class _Finished:
    """A run's numbers: of the weights that its evaluation.select names."""

    numbers: Mapping[str, float]
    floors: Mapping[str, float]  # by kind of ECE


def _finished(cell: Cell, scaled: bool) -> _Finished | None:
    """None while the run is not finished; with `scaled`, temperatures are fitted too.

    ValueError where the folder holds another run, or its files are broken.
    """
    if not is_finished(cell.folder):
        return None
    if not (cell.folder / "config.yaml").is_file():
        raise ValueError(f"{cell.folder / 'config.yaml'} is missing; move the folder away")
    for name, there, wanted in changed_options(read_config(cell.folder / "config.yaml"), cell.config):
        raise ValueError(f"{cell.folder}: was run with {name}={there}, the grid wants {wanted}; move it away")
    result = read_result(cell.folder / "result.json")
    known = floors(cell, result)
    numbers = {**result, **(result.get("selected") or {}), "floor": known["ece15"]}
    if "seconds" in result:
        numbers["hours"] = result["seconds"] / 3600
    return _Finished(numbers | (temperatures.scaled(cell, result) if scaled else {}), known)


def _entry(key: Key, cells: Sequence[Cell], runs: Sequence[_Finished], published: Published | None) -> Entry:
    metric, config = key[0], cells[0].config
    try:
        values = tuple(run.numbers[metric] for run in runs)
    except KeyError:
        reason = "it held out no validation images, so there is" if metric in temperatures.NAMES else "result.json has"
        raise ValueError(f"{cells[0].folder}: {reason} no {metric}; leave it out of the grid's metrics") from None
    floor = float(np.mean([run.floors[metric] for run in runs])) if runs and metric in FLOORED else None
    # CalibrateMix's paper sets the best of each base method in bold, and those with label smoothing apart.
    smoothed = config.label_smoothing and config.algorithm not in LABELLED_ONLY
    return Entry(*key, f"{config.algorithm}{' + LS' if smoothed else ''}", values, len(cells), floor, published)
