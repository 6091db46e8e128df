"""A finished run's calibration after temperature scaling, T chosen on its validation images in two ways.

By the ECE (15 bins) on a grid of .1, as MbLS, RankMixup and CSM do, and by the negative log-likelihood. All from
predictions.npz, of the weights whose numbers a table shows.
"""

from collections.abc import Mapping
from typing import Any

from pipeline.calibration.scores import metrics
from pipeline.calibration.temperature import fit_temperature, fit_temperature_by_ece
from pipeline.runs.read import read_arrays, read_validation
from slurm.grids.grid import Cell

FITS = {"": fit_temperature_by_ece, "_nll": fit_temperature}  # by the end of a metric's name
NAMES = tuple(f"{name}{end}" for end in FITS for name in ("ece15_scaled", "ace_scaled", "temperature"))
REMEDY = "delete result.json and submit the grid again"


def scaled(cell: Cell, result: Mapping[str, Any]) -> dict[str, float]:
    """NAMES with their numbers, in percent but for T; a kept run brings them in ``result``.

    {} where the run held out no images, or drew these as unlabelled ones: a network that knows them is no judge.
    """
    if "scaled" in result:
        return dict(result["scaled"])
    path, drawn = cell.folder / "predictions.npz", cell.config.unlabelled.include_validation
    if "floors" in result or drawn or read_validation(path, REMEDY) is None:
        return {}
    start = "selected_" if result.get("selected") else ""
    names = f"{start}logits", "labels", f"{start}validation_logits", "validation_labels"
    logits, labels, held, held_labels = read_arrays(path, names, REMEDY)
    found: dict[str, float] = {}
    for end, fit in FITS.items():
        temperature = fit(held, held_labels)
        scores = metrics(temperature.apply(logits), labels)
        found |= {f"{name}_scaled{end}": scores[name] for name in ("ece15", "ace")}
        found[f"temperature{end}"] = temperature.temperature
    return found
