"""Small grids on the digits for the tests of slurm/, and finished runs that no one trained."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from slurm.grids.grid import Cell

METHODS = {"FixMatch": {"algorithm": "fixmatch"}, "FixMatch + CalibrateMix": {"mix": "calibratemix"}}


def write_grid(folder: Path, data: Path, seeds: int = 3, **options: Any) -> Path:
    """Two methods on the digits of ``data``, its runs under ``folder``/runs; ``options`` hold for every cell."""
    content = {
        "root": str(folder / "runs"),
        "seeds": list(range(seeds)),
        "options": {"data": str(data), **options},
        "gpu_hours": {"digits": 2},
        "blocks": [{"datasets": {"digits": [4]}, "methods": METHODS}],
    }
    path = folder / "digits_grid.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


def finish(cell: Cell, error: float, ece: float, samples: int = 500) -> None:
    """Puts the run folder of a finished run there, with these numbers in it."""
    cell.folder.mkdir(parents=True)
    (cell.folder / "config.yaml").write_text(yaml.safe_dump(cell.config.to_dict()))
    (cell.folder / "environment.json").write_text(json.dumps({"git": "c0ffee"}))
    logits = np.random.default_rng(0).normal(size=(samples, 10)).astype(np.float32)
    np.savez(cell.folder / "predictions.npz", logits=logits, labels=np.zeros(samples, np.int64))
    status = {"state": "finished", "step": cell.config.steps, "steps": cell.config.steps, "time": 0}
    (cell.folder / "status.json").write_text(json.dumps(status))
    (cell.folder / "result.json").write_text(json.dumps({"error": error, "ece": ece, "step": cell.config.steps}))
