"""Checks that split files match the manifest, and that each holds what its name promises."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dataprep.data_folder.manifest import Manifest, SplitRecord
from dataprep.data_folder.split_draws import class_counts, stratified_counts
from dataprep.data_folder.split_files import split_file
from dataprep.verification.rules import Rules, file_faults, violated


def split_faults(folder: Path, content: Manifest, labels: NDArray[np.int64]) -> list[str]:
    """Faults of all splits. labels: int64 [N] of train.beton; empty where it is damaged."""
    faults = []
    for name, record in content["splits"].items():
        file = split_file(folder, name)
        faults += [f"{file.name}: {fault}" for fault in _faults(file, record, labels, content)]
    unknown = {file.stem for file in (folder / "splits").glob("*.npy")} - set(content["splits"])
    return faults + [f"splits/{name}.npy is not in the manifest" for name in sorted(unknown)]


def _faults(file: Path, record: SplitRecord, labels: NDArray[np.int64], content: Manifest) -> list[str]:
    """Faults of one split: hash, form, and the number or share of images of each class that its name promises."""
    faults = file_faults(file, record)
    if faults or not len(labels):
        return faults
    positions = np.load(file)
    rules = [
        (positions.dtype == np.int64 and len(positions) == record["size"], "does not have the manifest's size"),
        ((np.diff(positions) > 0).all(), "not sorted"),
        (((positions >= 0) & (positions < len(labels))).all(), "positions outside train.beton"),
    ]
    faults = violated(rules)
    if "source" in record:  # the user's own, whose name promises nothing
        return faults or violated([((labels[positions] >= 0).all(), "contains unlabelled images")])
    return faults or violated(_drawn_as_named(file.stem.rsplit("-seed", 1)[0], labels, labels[positions], content))


def _drawn_as_named(kind: str, labels: NDArray[np.int64], drawn: NDArray[np.int64], content: Manifest) -> Rules:
    yield (drawn >= 0).all(), "contains unlabelled images"
    available = np.array(class_counts(labels, len(content["classes"])))
    counts = np.array(class_counts(drawn, len(content["classes"])))
    if kind.isdigit():
        yield (counts == int(kind)).all(), f"does not have exactly {kind} images of every class"
    elif kind == "all":
        yield (counts == available).all(), "does not have all labelled images"
    elif kind.startswith("validation-"):
        shares = stratified_counts(available.tolist(), int(kind.removeprefix("validation-")) / available.sum())
        yield counts.tolist() == shares, "does not have the images of every class that its name promises"
    elif kind.endswith("pct-stratified"):
        shares = stratified_counts(available.tolist(), float(kind.removesuffix("pct-stratified")) / 100)
        yield counts.tolist() == shares, "does not have the share of every class that its name promises"
    elif kind.endswith("pct-balanced"):  # as the stratified split was called, when shares were rounded class by class
        expected = np.maximum(available * float(kind.removesuffix("pct-balanced")) / 100, 1)
        yield (np.abs(counts - expected) <= 1).all(), "does not have the same share of every class"
    else:
        wanted = np.maximum(available.sum() * float(kind.removesuffix("pct")) / 100, 1)
        yield abs(len(drawn) - wanted) <= 1, "does not have the share of images its name promises"
