"""Predictions on a test set, read from a run folder or an .npz file and verified: what every report starts from."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.calibration.scores import REPORTED, Sums, check_predictions, reported, sums
from pipeline.calibration.sums import Ints
from pipeline.report.naming import method_name
from pipeline.runs.read import RUN_REMEDY, ece_bins, read_config, read_predictions, read_result, read_validation

FILE_REMEDY = "write finite logits [N, C] and labels [N] from 0 to C - 1"
_TOLERANCE = 1e-6  # of percent, and of the natural units of nll and brier


@dataclass(frozen=True)
class RunSettings:
    """What a report needs to know of a run's options.

    `method`: algorithm and mix, "" if unknown. `weights` that the predictions are made with: ema, raw, "" if unknown.
    `validation_drawn`: training saw its validation images, as unlabelled ones without their labels.
    """

    method: str = ""
    weights: str = ""
    ece_bins: int = 10
    validation_drawn: bool = False


@dataclass(frozen=True)
class VerifiedPredictions:
    """Valid predictions of one model on a test set.

    `path`: the run folder or the file. `step` of the weights and `seconds` of training: None where unknown.
    `validation`: logits [M, C] and labels [M] of images whose labels no step saw, where the run held any out.
    """

    path: Path
    settings: RunSettings
    logits: NDArray[Any]  # floating [N, C]
    labels: Ints  # [N]
    step: int | None = None
    seconds: float | None = None
    validation: tuple[NDArray[Any], Ints] | None = None

    @property
    def unseen(self) -> tuple[NDArray[Any], Ints] | None:
        """The `validation` predictions, where no step saw these images in any way."""
        return None if self.settings.validation_drawn else self.validation

    @cached_property
    def sums(self) -> Sums:
        """What every score is computed from."""
        return sums(self.logits, self.labels, self.settings.ece_bins)


def read_settings(path: Path) -> RunSettings:
    """From config.yaml of a run folder; the trainer's defaults where there is none. ValueError if it is damaged."""
    config = read_config(path / "config.yaml")
    weights = (config.get("evaluation") or {}).get("weights", "ema")
    drawn = bool((config.get("unlabelled") or {}).get("include_validation"))
    return RunSettings(method_name(config), weights, ece_bins(config), validation_drawn=drawn)


def read_run(folder: Path) -> VerifiedPredictions:
    """A finished run. ValueError naming the file if one is missing or damaged, or if they contradict each other."""
    result = read_result(folder / "result.json")
    source = folder / "predictions.npz"
    logits, labels = checked(source, *read_predictions(source, RUN_REMEDY), RUN_REMEDY)
    step, seconds = result.get("step"), result.get("seconds")
    validation = read_validation(source, RUN_REMEDY)
    found = VerifiedPredictions(
        path=folder,
        settings=read_settings(folder),
        logits=logits,
        labels=labels,
        step=step if isinstance(step, int) else None,
        seconds=seconds if isinstance(seconds, int | float) else None,
        validation=checked(source, *validation, RUN_REMEDY) if validation else None,
    )
    _check_result(folder / "result.json", result, reported(found.sums))
    return found


def read_file(path: Path) -> VerifiedPredictions:
    """An .npz file of `logits` [N, C] and `labels` [N]. ValueError naming it."""
    logits, labels = checked(path, *read_predictions(path), FILE_REMEDY)
    return VerifiedPredictions(path=path, settings=RunSettings(), logits=logits, labels=labels)


def checked(path: Path, logits: NDArray[Any], labels: NDArray[Any], remedy: str) -> tuple[NDArray[Any], Ints]:
    """Predictions whose calibration can be measured. ValueError naming the file they are from, and `remedy`."""
    try:
        logits, targets = check_predictions(logits, labels)
    except ValueError as error:
        raise ValueError(f"{path}: {error}; {remedy}") from error
    if logits.shape[1] == 1:
        raise ValueError(f"{path}: logits of one class only, so every confidence is 1; predict two or more classes")
    if (targets == targets[0]).all():
        raise ValueError(f"{path}: all {len(targets)} labels are class {targets[0]}: give the whole test set")
    if (logits >= 0).all() and np.allclose(logits.sum(axis=1), 1, rtol=0, atol=1e-3):
        raise ValueError(f"{path}: these are probabilities, each row sums to 1; store their logarithms as logits")
    return logits, targets


def check_same_test_set(each: Sequence[VerifiedPredictions]) -> None:
    """ValueError naming the first that has other labels or another number of classes than the first of all."""
    for other in each[1:]:
        if not np.array_equal(each[0].labels, other.labels) or each[0].logits.shape != other.logits.shape:
            raise ValueError(
                f"{other.path}: its test labels differ from those of {each[0].path}; "
                "only runs with the same test set can be compared"
            )


def _check_result(path: Path, result: Mapping[str, object], computed: Mapping[str, float]) -> None:
    for name, value in computed.items():
        stored = result.get(name)
        if stored is None and name not in REPORTED:
            continue  # younger than the run
        if not isinstance(stored, int | float):
            raise ValueError(f"{path} has no number `{name}`; delete it and resume the run")
        if not math.isclose(stored, value, rel_tol=0, abs_tol=_TOLERANCE):
            raise ValueError(
                f"{path} says {name} {stored}, but predictions.npz gives {value}: "
                "the two files do not belong to the same run; delete result.json and resume the run"
            )
