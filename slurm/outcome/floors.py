"""The floor of a finished run: the ECE that a perfectly calibrated model with its confidences would score."""

from collections.abc import Mapping
from typing import Any

from pipeline.calibration.floor import expected_ece_floor
from pipeline.runs.read import read_arrays
from slurm.grids.grid import Cell

FLOORED = {"ece": None, "ece15": 15}  # bins of each ECE; None: those of the config
REMEDY = "delete result.json and submit the grid again"


def floors(cell: Cell, result: Mapping[str, Any]) -> dict[str, float]:
    """By kind of ECE, in percent, of the weights whose numbers a table shows; a kept run brings them in ``result``."""
    if "floors" in result:
        return dict(result["floors"])
    name = "selected_logits" if result.get("selected") else "logits"
    (logits,) = read_arrays(cell.folder / "predictions.npz", (name,), REMEDY)
    bins = {kind: fixed or cell.config.evaluation.ece_bins for kind, fixed in FLOORED.items()}
    return {kind: expected_ece_floor(logits, number) for kind, number in bins.items()}
