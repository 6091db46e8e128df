"""A grid file: which runs a table needs, each a data set's config with a few options over it.

    paper_table: 1                        # optional: the rows of paper_tables.yaml that collect.py sets beside ours
    root: runs                            # all grids share it: a cell finished for one is finished for the others
    seeds: [0, 1, 2]
    options: {budget: paper}              # over every cell
    gpu_hours: {cifar10: 9}               # of 2^20 steps on one GPU, for the estimate alone
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
import functools
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline import config as configuration
from pipeline.config.options import Config
from slurm.naming import assignments, digest, flat

PROJECT = Path(__file__).resolve().parent.parent
GRID_KEYS = ("paper_table", "root", "seeds", "options", "gpu_hours", "mixing_factor", "blocks")
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
    paper_table: int | None
    gpu_hours: Mapping[str, float]
    mixing_factor: float

    def runs(self) -> dict[Path, Cell]:
        """One cell for each run folder, in the file's order."""
        found: dict[Path, Cell] = {}
        for cell in self.cells:
            found.setdefault(cell.folder, cell)
        return found

    def hours(self, cell: Cell) -> float | None:
        """GPU-hours of a whole run, by the file's table; None where it names no such data set."""
        if cell.dataset not in self.gpu_hours:
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
    common = assignments(_mapping(content.get("options", {}), f"{path}: options"))
    given = _Given(path, Path(root or content.get("root", "runs")), seeds, common, sets)
    cells = [c for n, block in enumerate(content["blocks"]) for c in _expand(block, f"{path}: blocks[{n}]", given)]
    hours, factor = content.get("gpu_hours", {}), content.get("mixing_factor", 1.0)
    grid = Grid(path.stem, given.root, tuple(cells), content.get("paper_table"), hours, factor)
    return select(grid, only) if only else grid


def select(grid: Grid, only: str) -> Grid:
    """The cells that fit "dataset=cifar10,seed=0": keys dataset, method, labels, seed; values joined by |."""
    wanted = [part.partition("=") for part in only.split(",") if part.strip()]
    for key, _, _ in wanted:
        _known(key.strip(), ("dataset", "method", "labels", "seed"), "--only")
    cells = grid.cells
    for key, _, values in wanted:
        fitting = {value.strip().lower() for value in values.split("|")}
        known = sorted({str(getattr(cell, key.strip())) for cell in grid.cells})
        cells = tuple(cell for cell in cells if str(getattr(cell, key.strip())).lower() in fitting)
        if not cells:
            raise ValueError(f"--only {only}: no cell fits {key.strip()}={values}; the grid has {', '.join(known)}")
    return dataclasses.replace(grid, cells=cells)


@dataclass(frozen=True)
class _Given:
    """What holds for every block of a file."""

    path: Path
    root: Path
    seeds: Sequence[int]
    common: Sequence[str]
    sets: Sequence[str]


def _expand(block: Any, where: str, given: _Given) -> Iterator[Cell]:
    content = _keyed(block, BLOCK_KEYS, where)
    if missing := [key for key in BLOCK_KEYS if not content.get(key)]:
        raise ValueError(f"{where}: has no {missing[0]}")
    methods = _mapping(content["methods"], f"{where}.methods")
    for dataset, value in _mapping(content["datasets"], f"{where}.datasets").items():
        entry = _dataset(value, f"{where}.datasets.{dataset}")
        base = _base(dataset, entry, f"{where}.datasets.{dataset}")
        for labels, (method, options) in itertools.product(entry["labels"], methods.items()):
            own = assignments({"dataset": dataset, "labels": str(labels), **entry.get("options", {})})
            order = _Order(base, (*given.common, *own), tuple(assignments(options or {})), tuple(given.sets))
            for seed in given.seeds:
                try:
                    config = _config(order, seed, given.root)
                except ValueError as error:
                    raise ValueError(f"{given.path}: {method}, {dataset}, labels {labels}: {error}") from None
                yield Cell(dataset, str(method), str(labels), seed, config)


@dataclass(frozen=True)
class _Order:
    """The options of a cell but for its seed, in order of precedence."""

    base: Path | None
    before: tuple[str, ...]
    method: tuple[str, ...]
    sets: tuple[str, ...]


def _config(order: _Order, seed: int, root: Path) -> Config:
    """The resolved options of a cell, ``out`` included."""
    config = configuration.load(order.base, [f"seed={seed}", *order.before, *order.method, *order.sets])
    folder = root / config.dataset / method_name(config, order) / config.labels / f"{config.seed}-{digest(config)}"
    return dataclasses.replace(config, out=str(folder))


def method_name(config: Config, order: _Order) -> str:
    """The folder of a method: algorithm, mix, and the options it names where they change something.

    So "SoftMatch + CM k=5" and "SoftMatch + CalibrateMix", the same run under two names, share a folder.
    """
    words = [config.algorithm, *([config.mix] if config.mix != "none" else [])]
    now, before = flat(config), _without_method(order.base, (*order.before, *order.sets))
    for name in (line.partition("=")[0] for line in order.method):
        if now[name] != before[name] and name not in {"algorithm", "mix"}:
            words.append(f"{name.rpartition('.')[2]}={now[name]}")
    return re.sub(r"[^\w.=+-]+", "_", "-".join(words))


@functools.cache
def _without_method(base: Path | None, lines: tuple[str, ...]) -> dict[str, Any]:
    try:
        return flat(configuration.load(base, lines))
    except ValueError:  # options that make sense with the method alone
        return flat(Config())


def _dataset(value: Any, where: str) -> dict[str, Any]:
    entry = _keyed({"labels": value} if isinstance(value, list) else value, DATASET_KEYS, where)
    if not isinstance(entry.get("labels"), list) or not entry["labels"]:
        raise ValueError(f"{where}: expected a list of labels, as in [4, 25] or [all]")
    return entry


def _base(dataset: str, entry: Mapping[str, Any], where: str) -> Path | None:
    """The data set's config file; ``config: null`` says that there is none."""
    if "config" in entry and entry["config"] is None:
        return None
    path = PROJECT / entry.get("config", f"configs/{dataset}.yaml")
    if not path.is_file():
        raise ValueError(f"{where}: {path} does not exist; name another with config:, or none with config: null")
    return path


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
