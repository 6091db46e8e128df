"""Finished runs made small enough for a repository: what a table, a curve and a reader need of them, without weights.

A kept run is a run folder without checkpoints and predictions: the options that it was given, without the folders of
the machine that it ran on; result.json with what predictions would give, the floors and the numbers after temperature
scaling; metrics.jsonl; and what it ran on.
``collect.py --root`` makes tables of kept runs as of any others.
"""

import json
import shutil
from collections.abc import Iterable
from pathlib import Path

import yaml

from pipeline.runs.files import read_json, write_atomically
from pipeline.runs.read import read_config, read_result
from slurm.grids.grid import Cell
from slurm.outcome.floors import floors
from slurm.outcome.temperatures import scaled

OF_THE_MACHINE = ("data", "out")  # options that name its folders
RAN_ON = ("git", "versions", "device", "ranks", "threads", "precision")  # of environment.json


def keep(cells: Iterable[Cell], root: Path, target: Path) -> int:
    """Copies what is finished of ``cells``, which lie under ``root``, to the same places under ``target``; how many.

    Raises ValueError for a run whose files are broken.
    """
    kept = 0
    for cell in cells:
        if (cell.folder / "result.json").is_file():
            _keep(cell, target / cell.folder.relative_to(root))
            kept += 1
    return kept


def _keep(cell: Cell, folder: Path) -> None:
    """result.json comes last, as in the run itself: it says that the rest is there."""
    if cell.folder.resolve() == folder.resolve():
        raise ValueError(f"{folder} is the run itself; keep it elsewhere")
    folder.mkdir(parents=True, exist_ok=True)
    options = read_config(cell.folder / "config.yaml")
    given = {name: value for name, value in options.items() if name not in OF_THE_MACHINE}
    write_atomically(folder / "config.yaml", yaml.safe_dump(given, sort_keys=False))
    ran_on = read_json(cell.folder / "environment.json")
    write_atomically(folder / "environment.json", _json({name: ran_on[name] for name in RAN_ON if name in ran_on}))
    shutil.copyfile(cell.folder / "metrics.jsonl", folder / "metrics.jsonl")
    result = read_result(cell.folder / "result.json")
    after = {"scaled": found} if (found := scaled(cell, result)) else {}
    write_atomically(folder / "result.json", _json({**result, "floors": floors(cell, result), **after}))


def _json(content: object) -> str:
    return json.dumps(content, indent=1) + "\n"
