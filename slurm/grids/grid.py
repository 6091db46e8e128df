"""A grid file: which runs a table needs, each a data set's config with a few options over it.

    paper: calibratemix/1                 # optional: the table in grids/papers/ that collect.py sets beside ours
    metrics: [ece, error]                 # what it shows: names of METRICS below; these unless given
    root: runs                            # all grids share it: a cell finished for one is finished for the others
    seeds: [0, 1, 2]
    options: {budget: paper}              # over every cell
    gpu_hours: {cifar10: 9}               # of 2^20 steps on one GPU, as benchmarks/gpu_hours.py measures them
    mixing_factor: 1.1                    # time of a run that mixes over that of one that does not, likewise
    blocks:                               # each expands to datasets x labels x methods x seeds
    - datasets:
        cifar10: [4, 25]                  # based on configs/cifar10.yaml
        stl10: {labels: [all], options: {labels: 100}, config: configs/stl10.yaml}
      methods:
        FixMatch: {algorithm: fixmatch}

Precedence: config file < seed < grid options < dataset and labels < data set options < method options < --set.
"""

import dataclasses
import difflib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline import config as configuration
from pipeline.config.options import Config
from slurm.grids.naming import digest, method_name

PROJECT = Path(__file__).resolve().parents[2]
GRID_KEYS = ("paper", "metrics", "root", "seeds", "options", "gpu_hours", "mixing_factor", "blocks")
METRICS = {  # what a table may show, with its title: names of result.json, and what outcome/ makes of a run
    "error": "Error %",
    "error_top5": "Top-5 error %",
    "ece": "ECE %, 10 bins",
    "ece15": "ECE %, 15 bins",
    "ace": "ACE %, 15 equal-mass bins",
    "oe": "OE %",
    "ue": "UE %",
    "oe_plain": "OE %, unweighted, 15 bins",
    "ue_plain": "UE %, unweighted, 15 bins",
    "nll": "NLL, nats",
    "brier": "Brier score",
    "floor": "ECE floor %, 15 bins",
    "ece15_scaled": "ECE %, 15 bins, T by validation ECE",
    "ace_scaled": "ACE %, T by validation ECE",
    "temperature": "T by validation ECE",
    "ece15_scaled_nll": "ECE %, 15 bins, T by validation NLL",
    "ace_scaled_nll": "ACE %, T by validation NLL",
    "temperature_nll": "T by validation NLL",
    "hours": "Training, hours",
}
BLOCK_KEYS = ("datasets", "methods")
DATASET_KEYS = ("labels", "options", "config")


@dataclass(frozen=True)
class Cell:
    """One run. ``labels`` is the grid's word for the column; ``config.labels`` is what the run really uses."""

    dataset: str
    method: str
    labels: str
    seed: int
    config: Config

    @property
    def folder(self) -> Path:
        """The run folder."""
        return Path(self.config.out)


@dataclass(frozen=True)
class Grid:
    """All cells of a grid file; several may share one run folder."""

    name: str
    root: Path
    cells: tuple[Cell, ...]
    paper: str | None
    metrics: tuple[str, ...]
    gpu_hours: Mapping[str, float]
    mixing_factor: float

    def runs(self) -> dict[Path, Cell]:
        """One cell for each run folder, in the file's order."""
        found: dict[Path, Cell] = {}
        for cell in self.cells:
            found.setdefault(cell.folder, cell)
        return found

    def hours(self, cell: Cell) -> float | None:
        """Estimated GPU-hours of a whole run; None where ``gpu_hours`` does not name its data set, or epochs count."""
        if cell.dataset not in self.gpu_hours or cell.config.epochs:
            return None
        factor = 1.0 if cell.config.mix == "none" else self.mixing_factor
        return self.gpu_hours[cell.dataset] * factor * cell.config.steps / 2**20


def load(path: str | Path, sets: Sequence[str] = (), root: str | Path | None = None, only: str | None = None) -> Grid:
    """The grid in ``path`` with ``sets`` ("a.b=c") over every cell, or the cells that ``only`` selects. ValueError."""
    path = Path(path)
    content = _read(path)
    seeds = content.get("seeds", [0, 1, 2])
    if not isinstance(seeds, list) or not seeds or not all(type(seed) is int for seed in seeds):
        raise ValueError(f"{path}: seeds: expected a list of whole numbers, got {seeds!r}")
    common = configuration.flatten(_mapping(content.get("options", {}), f"{path}: options"))
    root = Path(root or content.get("root", "runs"))
    file = _File(path, root, seeds, common, configuration.parse_sets(sets))
    cells = [c for n, block in enumerate(content["blocks"]) for c in _expand(block, f"{path}: blocks[{n}]", file)]
    hours, factor = content.get("gpu_hours", {}), content.get("mixing_factor", 1.0)
    metrics = tuple(content.get("metrics", ("ece", "error")))
    if unknown := [name for name in metrics if name not in METRICS]:
        raise ValueError(f"{path}: metrics: unknown {unknown[0]}; known: {', '.join(METRICS)}")
    grid = Grid(path.stem, root, tuple(cells), content.get("paper"), metrics, hours, factor)
    return select(grid, only) if only else grid


def select(grid: Grid, only: str) -> Grid:
    """The cells that match "dataset=cifar10,seed=0": keys dataset, method, labels, seed; values joined by |."""
    wanted = [part.partition("=") for part in only.split(",") if part.strip()]
    for key, _, _ in wanted:
        _known(key.strip(), ("dataset", "method", "labels", "seed"), "--only")
    cells = grid.cells
    for key, _, values in wanted:
        chosen = {value.strip().lower() for value in values.split("|")}
        known = sorted({str(getattr(cell, key.strip())) for cell in grid.cells})
        cells = tuple(cell for cell in cells if str(getattr(cell, key.strip())).lower() in chosen)
        if not cells:
            raise ValueError(f"--only {only}: no cell has {key.strip()}={values}; the grid has {', '.join(known)}")
    return dataclasses.replace(grid, cells=cells)


Options = Mapping[str, Any]  # by flat names


@dataclass(frozen=True)
class _File:
    """What holds for every block of a grid file."""

    path: Path
    root: Path
    seeds: Sequence[int]
    common: Options
    sets: Options


@dataclass(frozen=True)
class _Column:
    """A data set with a number of labels: the options of its config file, and those that the grid sets over them."""

    file: _File
    dataset: str
    labels: str
    base: Options
    own: Options

    def options(self, seed: Options, method: Options) -> Options:
        """In order of precedence."""
        return {**self.base, **seed, **self.file.common, **self.own, **method, **self.file.sets}

    def cells(self, name: str, method: Options) -> Iterator[Cell]:
        """One run for each seed."""
        before = _without_method(self.options({}, {}))
        for seed in self.file.seeds:
            try:
                config = configuration.resolve(self.options({"seed": seed}, method))
            except ValueError as error:
                where = f"{self.file.path}: {name}, {self.dataset}, labels {self.labels}"
                raise ValueError(f"{where}: {error}") from None
            folder = self.file.root / config.dataset / method_name(config, method, before) / config.labels
            out = str(folder / f"{config.seed}-{digest(config)}")
            yield Cell(self.dataset, name, self.labels, seed, dataclasses.replace(config, out=out))


def _expand(block: Any, where: str, file: _File) -> Iterator[Cell]:
    content = _keyed(block, BLOCK_KEYS, where)
    if missing := [key for key in BLOCK_KEYS if not content.get(key)]:
        raise ValueError(f"{where}: has no {missing[0]}")
    methods = _mapping(content["methods"], f"{where}.methods")
    for dataset, value in _mapping(content["datasets"], f"{where}.datasets").items():
        entry = _dataset(value, f"{where}.datasets.{dataset}")
        base = _base(dataset, entry, f"{where}.datasets.{dataset}")
        for labels, (method, options) in itertools.product(map(str, entry["labels"]), methods.items()):
            own = configuration.flatten({"dataset": dataset, "labels": labels, **entry.get("options", {})})
            yield from _Column(file, dataset, labels, base, own).cells(
                str(method), configuration.flatten(options or {})
            )


def _without_method(given: Options) -> Options:
    """Every option of a run whose method sets none; the defaults where that is impossible."""
    try:
        return configuration.flat_values(configuration.resolve(given))
    except ValueError:
        return configuration.DEFAULTS


def _dataset(value: Any, where: str) -> dict[str, Any]:
    entry = _keyed({"labels": value} if isinstance(value, list) else value, DATASET_KEYS, where)
    if not isinstance(entry.get("labels"), list) or not entry["labels"]:
        raise ValueError(f"{where}: expected a list of labels, as in [4, 25] or [all]")
    return entry


def _base(dataset: str, entry: Mapping[str, Any], where: str) -> Options:
    """The options of the data set's config file; ``config: null`` says that there is none."""
    if "config" in entry and entry["config"] is None:
        return {}
    path = PROJECT / entry.get("config", f"configs/{dataset}.yaml")
    if not path.is_file():
        raise ValueError(f"{where}: {path} does not exist; name another with config:, or none with config: null")
    return configuration.read_options(path)


def _read(path: Path) -> dict[str, Any]:
    content = _keyed(configuration.read_yaml(path, "--grid"), GRID_KEYS, str(path))
    if not isinstance(content.get("blocks"), list) or not content["blocks"]:
        raise ValueError(f"{path}: has no blocks, each datasets and methods; see configs/grid_digits.yaml")
    return content


def _keyed(content: Any, known: Sequence[str], where: str) -> dict[str, Any]:
    content = _mapping(content, where)
    for key in content:
        _known(str(key), known, where)
    return content


def _mapping(content: Any, where: str) -> dict[str, Any]:
    if not isinstance(content, dict):
        raise ValueError(f"{where}: expected 'name: value' lines, got {content!r}")
    return content


def _known(key: str, known: Sequence[str], where: str) -> None:
    if key not in known:
        near = difflib.get_close_matches(key, known, 1)
        hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"
        raise ValueError(f"{where}: unknown key {key}; {hint}")
