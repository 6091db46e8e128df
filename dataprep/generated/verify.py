"""Checks a data folder of groups against its manifest, down to the last image."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataprep.console import plural
from dataprep.generated.manifest import BETON, GROUPS, Manifest, read
from dataprep.progress_meter import ProgressMeter
from dataprep.verification.betons import Form, structure_faults
from dataprep.verification.pixels import decoding_rules
from dataprep.verification.rules import Rules, file_faults, violated


def verify(folder: Path, workers: int) -> str:
    """Check hashes, structure and numbers; where all are right, decode every image through FFCV's loader.

    Returns a line that sums up what was checked. Raises ValueError that names what differs.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder} does not exist; make it first, or name it with --out and --name")
    content = read(folder)
    form = Form(("group", "place"), content["stored_size"], content["writer"]["encoding"])
    faults, numbers = structure_faults(folder / BETON, content["files"][BETON], form)
    faults += [f"{GROUPS}: {fault}" for fault in file_faults(folder / GROUPS, content["files"][GROUPS])]
    if not faults:
        faults += violated(_rules(folder, content, numbers))
    if not faults:  # images take longest, and FFCV might follow a damaged pointer
        faults += _pixel_faults(folder / BETON, content, workers)
    if faults:
        raise ValueError(f"{folder}: {'; '.join(faults)}; remove it and pack again")
    images = content["groups"] * len(content["ratios"])
    return f"{folder}: verified, {plural(images, 'image')} in {plural(content['groups'], 'group')}"


def _rules(folder: Path, content: Manifest, numbers: dict[str, NDArray[np.int64]]) -> Rules:
    places, groups = len(content["ratios"]), content["groups"]
    yield len(numbers["group"]) == groups * places, f"{BETON} has {len(numbers['group'])} images"
    order = np.arange(len(numbers["group"]))
    yield (numbers["group"] == order // places).all(), "groups are not in order"
    yield (numbers["place"] == order % places).all(), "places are not in order"
    with np.load(folder / GROUPS) as parts:
        first, second, ratios = parts["first"], parts["second"], parts["ratios"]
    yield first.shape == second.shape == (groups,), f"{GROUPS} does not have {groups} groups"
    within = (first >= 0) & (first < second) & (second < len(content["classes"]))
    yield within.all(), f"{GROUPS} names classes that are not there"
    yield ratios.tolist() == content["ratios"], f"{GROUPS} has other ratios"


def _pixel_faults(file: Path, content: Manifest, workers: int) -> list[str]:
    num_images = content["groups"] * len(content["ratios"])
    with ProgressMeter("verified", num_images) as meter:
        rules: Iterator[tuple[Any, str]] = iter(
            decoding_rules(file, content["writer"]["encoding"], num_images, workers, meter.add)
        )
        return [f"{file.name}: {fault}" for fault in violated(rules)]
