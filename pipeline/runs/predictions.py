"""predictions.npz: the logits and labels of a test set, written by a run or by the user."""

import io
import pickle
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.runs.files import write_atomically

Predictions = tuple[NDArray[Any], NDArray[Any]]
RUN_REMEDY = "delete result.json and resume the run to write it again"


def write_predictions(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """`logits` [N, C] and `labels` [N] in the test set's order, and what else there is, whole or not at all."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]
    write_atomically(path, buffer.getvalue())


def read_predictions(
    path: Path, remedy: str = "write it with numpy.savez(file, logits=..., labels=...)"
) -> Predictions:
    """`logits` [N, C] and `labels` [N] of an .npz file, not yet checked; ValueError naming the file and `remedy`."""
    logits, labels = read_arrays(path, ("logits", "labels"), remedy)
    return logits, labels


def read_validation(path: Path, remedy: str) -> Predictions | None:
    """Those of the validation images in a run's predictions.npz, which has been read; None where it has none."""
    with np.load(path) as arrays:
        if "validation_logits" not in arrays.files:
            return None
    logits, labels = read_arrays(path, ("validation_logits", "validation_labels"), remedy)
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
