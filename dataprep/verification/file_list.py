"""Checks that files.csv.gz names a file for each image, with the image's class."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dataprep.data_folder.file_list import NAME, read_rows
from dataprep.data_folder.manifest import Manifest
from dataprep.verification.rules import file_faults


def file_list_faults(folder: Path, content: Manifest, labels: dict[str, NDArray[np.int64]]) -> list[str]:
    """Faults of the list. labels: int64 [N] of each sound beton. Folders made before there were lists have none."""
    record = content.get("file_list")
    if record is None:
        return []
    faults = file_faults(folder / NAME, record)
    if not faults:
        faults = _faults(folder, content["classes"], labels)
    return [f"{NAME}: {fault}" for fault in faults]


def _faults(folder: Path, classes: list[str], labels: dict[str, NDArray[np.int64]]) -> list[str]:
    try:
        rows = read_rows(folder)
    except (OSError, EOFError, ValueError) as error:
        return [f"cannot be read ({error})"]
    for part, known in labels.items():
        expected = [(position, classes[label] if label >= 0 else "") for position, label in enumerate(known)]
        if len(known) and [(position, of) for position, within, _, of in rows if within == part] != expected:
            return [f"its positions or classes differ from {part}.beton"]
    return []
