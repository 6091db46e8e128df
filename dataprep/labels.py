"""Decides which label splits a data folder gets, and writes them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataprep import manifest
from dataprep.catalog import DATASETS
from dataprep.manifest import class_counts, file_sha256
from dataprep.reporting import note
from dataprep.splits import Draw, plan
from dataprep.storage import Options


def check_label_counts(options: Options, labels: Sequence[int], classes: list[str]) -> None:
    """Raises ValueError when a class has fewer images than --labels-per-class explicitly asks for."""
    _refuse_too_many(options, class_counts(np.array(labels, dtype=np.int64), len(classes)), classes)


def write_splits(
    folder: Path, labels: NDArray[np.int64], options: Options, classes: list[str], known: dict[str, Any]
) -> dict[str, Any]:
    """Write the wanted splits that `known` lacks to folder/splits; returns {name: {size, sha256}} of all.

    labels: int64 [N] of train.beton.
    """
    draws = _wanted(options, class_counts(labels, len(classes)), classes)
    (folder / "splits").mkdir(exist_ok=True)
    found = dict(known)
    for name, (draw, seed) in _missing(folder, draws, options.seeds, known).items():
        positions = draw(labels, seed)
        temporary = folder / "splits" / f".{name}.partial.npy"
        np.save(temporary, positions)
        file = temporary.rename(folder / "splits" / f"{name}.npy")
        found[name] = {"size": len(positions), "sha256": file_sha256(file)}
    return found


def add_splits(folder: Path, old: manifest.Manifest, options: Options) -> str:
    """Add the splits a finished folder lacks; returns a line that says what was done."""
    classes, counts = old["classes"], old["counts"]["train_per_class"]
    _refuse_too_many(options, counts, classes)
    missing = _missing(folder, _wanted(options, counts, classes), options.seeds, old["splits"])
    if not missing:
        return f"{folder}: already made, nothing to add"
    from dataprep.beton import read_labels  # FFCV takes seconds to import

    labels = read_labels(folder / "train.beton")
    new = {**old, "splits": write_splits(folder, labels, options, classes, known=old["splits"])}
    manifest.write(folder, new)
    return f"{folder}: already made, added {len(missing)} splits: {', '.join(missing)}"


def _missing(
    folder: Path, draws: dict[str, Draw], seeds: Sequence[int], known: dict[str, Any]
) -> dict[str, tuple[Draw, int]]:
    every = {f"{labels}-seed{seed}": (draw, seed) for labels, draw in draws.items() for seed in seeds}
    there = {name for name in known if (folder / "splits" / f"{name}.npy").exists()}
    return {name: how for name, how in every.items() if name not in there}


def _wanted(options: Options, counts: list[int], classes: list[str]) -> dict[str, Draw]:
    asked = options.labels_per_class or DATASETS[options.dataset].labels_per_class
    fitting = [count for count in asked if count <= min(counts)]
    left_out = [str(count) for count in asked if count > min(counts)]
    if left_out:
        fewest = classes[counts.index(min(counts))]
        note(f"no splits of {', '.join(left_out)} labels per class: {fewest!r} has {min(counts)} images")
    return plan(fitting, options.label_fraction, len(classes))


def _refuse_too_many(options: Options, counts: list[int], classes: list[str]) -> None:
    most, fewest = max(options.labels_per_class or (0,)), min(counts)
    if most > fewest:
        name = classes[counts.index(fewest)]
        raise ValueError(
            f"--labels-per-class {most}: class {name!r} has only {fewest} labelled training images; "
            f"ask for at most {fewest}"
        )
