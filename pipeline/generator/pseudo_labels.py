"""More images for a generator of few labels: pseudo-labels of a finished run, as predict.py RUN --pool writes them.

They leak nothing where that run was trained on labelled images of the generator's own split: then no other label has
been seen. generator.json names the run, and positions.npy stays what it was.
"""

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.config import load
from pipeline.config.generator import GeneratorConfig
from pipeline.data.dataset import Dataset, open_dataset
from pipeline.data.source_files import source_files

Ints = NDArray[np.int64]
REMEDY = "write it with python pipeline/predict.py RUN --pool --raw"


def with_pseudo_labels(config: GeneratorConfig, dataset: Dataset) -> Dataset:
    """``dataset`` with the confident images of ``config.pseudo_labels`` among its labelled ones; the same without it.

    Raises ValueError where the list is none of this data set's pool, or its run knew other labels.
    """
    if config.pseudo_labels is None:
        return dataset
    file = Path(config.pseudo_labels)
    _check_run(_run(file), config, dataset)
    index, labels = _confident(file, config.pseudo_confidence, dataset)
    if known := np.intersect1d(index, dataset.split).size:
        raise ValueError(f"{file}: {known} of its images are labelled ones of the generator; {REMEDY}")
    positions = np.concatenate([dataset.split, index])
    order = np.argsort(positions)
    together = np.concatenate([dataset.train_labels, labels])
    return replace(dataset, split=positions[order], train_labels=together[order])


def described(config: GeneratorConfig, labelled: int, images: int) -> str:
    """The name of the labels that a generator was trained on: a split, and whose pseudo-labels."""
    if config.pseudo_labels is None:
        return config.labels
    return f"{config.labels} and {images - labelled:,} pseudo-labels of {_run(Path(config.pseudo_labels))['run']}"


def _run(file: Path) -> dict[str, Any]:
    """What predict.py says of its list."""
    try:
        found: dict[str, Any] = json.loads(file.with_suffix(".json").read_text())
    except (OSError, json.JSONDecodeError) as error:
        raise ValueError(f"pseudo_labels={file}: {file.with_suffix('.json').name} cannot be read; {REMEDY}") from error
    if found.get("source") != "pool" or "run" not in found:
        raise ValueError(f"pseudo_labels={file}: is no list of a pool; {REMEDY}")
    return found


def _check_run(found: dict[str, Any], config: GeneratorConfig, dataset: Dataset) -> None:
    """Its labels must be among the generator's, of the same data set. Raises ValueError."""
    run = Path(found["run"])
    trained = open_dataset(load(run / "config.yaml", [f"data={config.data}"]))
    if trained.folder != dataset.folder:
        raise ValueError(f"pseudo_labels: {run} was trained on {trained.folder.name}, not on {dataset.folder.name}")
    if others := len(np.setdiff1d(trained.split, dataset.split)):
        raise ValueError(
            f"pseudo_labels: {run} saw the labels of {others} images that are not among the {len(dataset.split)} of "
            f"the generator (labels={config.labels} seed={config.seed}): take a run of the same split"
        )


def _confident(file: Path, least: float, dataset: Dataset) -> tuple[Ints, Ints]:
    """Positions in train.beton and classes, int64 [M] each, of the rows that are at least that sure."""
    names = source_files(dataset.folder, "train") or [f"train/{i:06d}" for i in range(dataset.num_train)]
    position, number = ({name: i for i, name in enumerate(each)} for each in (names, dataset.classes))
    try:
        with file.open(newline="", encoding="utf-8", errors="surrogateescape") as opened:
            rows = [row for row in csv.DictReader(opened) if float(row["confidence"]) >= least]
        found = [(position[row["file"]], number[row["class"]]) for row in rows]
    except (OSError, KeyError, ValueError, csv.Error) as error:
        raise ValueError(f"pseudo_labels={file}: cannot be read ({error!r}); {REMEDY}") from error
    if not found:
        raise ValueError(f"pseudo_labels={file}: no image is sure by {least:g}; lower pseudo_confidence")
    index, labels = np.array(found, np.int64).T
    return index, labels
