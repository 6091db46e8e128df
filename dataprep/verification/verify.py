"""Checks a finished data folder against its manifest, down to the last image."""

import csv
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dataprep.data_folder import manifest
from dataprep.data_folder.content_records import NAME as CONTENTS
from dataprep.progress_meter import ProgressMeter
from dataprep.verification.betons import beton_faults
from dataprep.verification.file_list import file_list_faults
from dataprep.verification.pixels import pixel_faults
from dataprep.verification.rules import file_faults
from dataprep.verification.splits import split_faults

SHOWN = 5  # faults named in full
MAKE_AGAIN = "remove it and make it again"
DRAW_AGAIN = (
    "the command that made it draws missing splits again, so remove those that differ; your own need "
    "--split NAME=FILE, and training ignores those that are not in the manifest"
)


def verify(folder: Path, workers: int) -> manifest.Manifest:
    """Check hashes, structure, counts and splits; where all are right, decode every image through FFCV's loader.

    Returns the manifest. Raises ValueError that names what differs.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder} does not exist; make it first, or name it with --out and --name")
    content = manifest.read(folder)
    files = [folder / name for name in content["betons"]]
    faults: list[str] = []
    labels: dict[str, NDArray[np.int64]] = {}
    for file in files:
        found, labels[file.stem] = beton_faults(file, content)
        faults += found
    faults += _reject_faults(folder, content)
    if "contents" in content:
        faults += [f"{CONTENTS}: {fault}" for fault in file_faults(folder / CONTENTS, content["contents"])]
    faults += file_list_faults(folder, content, labels)
    remedy = MAKE_AGAIN if faults else DRAW_AGAIN
    faults += split_faults(folder, content, labels["train"])
    if not faults:  # images take longest, and FFCV might follow a damaged pointer
        with ProgressMeter("verified", sum(map(len, labels.values()))) as meter:
            remedy = MAKE_AGAIN
            for file in files:
                faults += pixel_faults(file, content, workers, meter.add)
    if faults:
        more = f"; and {len(faults) - SHOWN} more" if len(faults) > SHOWN else ""
        raise ValueError(f"{folder}: {'; '.join(faults[:SHOWN])}{more}; {remedy}")
    return content


def _reject_faults(folder: Path, content: manifest.Manifest) -> list[str]:
    try:
        with (folder / "rejected.csv").open(newline="", encoding="utf-8", errors="surrogateescape") as file:
            count = len(list(csv.DictReader(file)))
    except OSError as error:
        return [f"rejected.csv: {error.strerror}"]
    expected = content["counts"]["rejected"]
    return [] if count == expected else [f"rejected.csv: {count} rows, not {expected}"]
