"""Reads what a run left: predictions.npz, result.json, config.yaml, metrics.jsonl. Every fault is one ValueError."""

import json
import pickle
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

Predictions = tuple[NDArray[Any], NDArray[Any]]
RUN_REMEDY = "delete result.json and resume the run to write it again"


def read_predictions(
    path: Path, remedy: str = "write it with numpy.savez(file, logits=..., labels=...)"
) -> Predictions:
    """`logits` [N, C] and `labels` [N] of an .npz file, not yet checked; ValueError naming the file and `remedy`."""
    logits, labels = read_arrays(path, ("logits", "labels"), remedy)
    return logits, labels


def read_arrays(path: Path, names: Sequence[str], remedy: str) -> list[NDArray[Any]]:
    """The arrays `names` of an .npz file; ValueError naming the file and `remedy`."""
    if not path.is_file():
        raise ValueError(f"{path} is missing; {remedy}")
    if not zipfile.is_zipfile(path):  # NumPy would take it for a pickle, and say how to load that
        raise ValueError(f"{path} is not a readable .npz file (no zip archive); {remedy}")
    try:
        with np.load(path) as arrays:
            return [arrays[name] for name in names]
    except KeyError as error:
        raise ValueError(f"{path} must hold {' and '.join(f'`{name}`' for name in names)}; {remedy}") from error
    # A damaged archive shows in any of these, depending on which byte is wrong.
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error, pickle.UnpicklingError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f"{path} is not a readable .npz file ({reason}); {remedy}") from error


def read_result(path: Path) -> dict[str, Any]:
    """result.json of a finished run; ValueError where the run has not finished or the file is broken."""
    if not path.is_file():
        raise ValueError(f"{path} is missing: the run has not finished; start it again to resume it")
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not valid JSON ({error}); delete it and resume the run") from error
    if not isinstance(result, dict):
        raise ValueError(f"{path} holds no JSON object; delete it and resume the run")
    return result


def read_config(path: Path) -> dict[str, Any]:
    """The options of a run as plain values; {} where there is no file."""
    if not path.is_file():
        return {}
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{path} is not valid YAML ({reason}); restore it or delete it") from error
    return config if isinstance(config, dict) else {}


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl; [] where there is no file. A last line half-written by a kill is left out."""
    if not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8").splitlines()
    found = []
    for number, line in enumerate(lines, 1):
        try:
            found.append(json.loads(line))
        except ValueError:
            if number < len(lines):
                raise ValueError(f"{path}: line {number} is not valid JSON; remove it or resume the run") from None
    return found


def ece_bins(config: dict[str, Any]) -> int:
    """Bins of `ece` in a run of these options."""
    return int((config.get("evaluation") or {}).get("ece_bins", 10))
