"""The generator that groups are made with, a run or a file of weights, checked against the data set."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dataprep.generated.shards import Generator, LabelsRecord
from pipeline.config.options import Config
from pipeline.data.dataset import read_manifest
from pipeline.generator.denoiser import Denoiser
from pipeline.generator.records import WEIGHTS, Card, read_card, read_positions
from pipeline.generator.weights import denoiser_of, read_weights


@dataclass(frozen=True, slots=True)
class Target:
    """The data set whose classes groups lie between. ``side``: pixels of its stored images."""

    folder: Path
    classes: list[str]
    side: int


@dataclass(frozen=True, slots=True)
class Source:
    """A generator. ``positions``: of the labelled images that it was trained on; None where they are not known."""

    denoiser: Denoiser
    record: Generator
    positions: NDArray[np.int64] | None
    label_dropout: float


def read_target(data: str, dataset: str) -> Target:
    """DATA/NAME by its manifest. Raises ValueError."""
    config = Config(data=data, dataset=dataset)
    folder = Path(data) / dataset
    manifest = read_manifest(folder, config)
    if len(manifest["classes"]) < 2:
        raise ValueError(f"{folder}: groups lie between two classes, and it has {len(manifest['classes'])}")
    return Target(folder, manifest["classes"], manifest["stored_size"])


def read_source(run: Path | None, weights: Path | None, target: Target) -> Source:
    """The generator of a finished run, or of a file of weights, that fits the data set. Raises ValueError."""
    if run is None:
        assert weights is not None
        source = Source(_denoiser(weights), _record(weights, "weights", weights, None), None, 0.0)
    else:
        card, file = read_card(run), run / WEIGHTS
        _check_card(run, card, target)
        labels = LabelsRecord(**card.labels)  # type: ignore[typeddict-item]
        record = _record(run, "run", file, labels)
        source = Source(_denoiser(file), record, read_positions(run), card.label_dropout)
    _check_size(run or weights, source.denoiser, target)
    return source


def check_guidance(guidance: float | None, source: Source) -> None:
    """Guidance compares with the network without a label, which it must have been trained as too. Raises ValueError."""
    if guidance is not None and not source.label_dropout:
        raise ValueError(
            f"--guidance={guidance:g}: {source.record['path']} was not trained with label_dropout, as far as is known; "
            "leave --guidance out, or train a generator with label_dropout=0.1"
        )


def _denoiser(file: Path) -> Denoiser:
    return denoiser_of(read_weights(file), file)


def _record(path: Path, kind: str, file: Path, labels: LabelsRecord | None) -> Generator:
    with file.open("rb") as opened:
        digest = hashlib.file_digest(opened, "sha256").hexdigest()
    return {"path": str(path), "kind": kind, "sha256": digest, "labels": labels}


def _check_card(run: Path, card: Card, target: Target) -> None:
    if card.classes != target.classes:
        differs = next((a for a in card.classes if a not in target.classes), card.classes[-1])
        raise ValueError(
            f"{run}: made for the {len(card.classes)} classes of {card.dataset} ({differs} ...), not for the "
            f"{len(target.classes)} of {target.folder}; choose that --dataset, or another generator"
        )
    if card.side != target.side:
        raise ValueError(f"{run}: made for images of {card.side} px, but {target.folder} has {target.side} px")


def _check_size(source: Path | None, denoiser: Denoiser, target: Target) -> None:
    size = denoiser.size
    if size.classes != len(target.classes):
        raise ValueError(f"{source}: made for {size.classes} classes, but {target.folder} has {len(target.classes)}")
    if size.resolution > target.side or target.side % size.resolution:
        raise ValueError(f"{source}: makes images of {size.resolution} px, not of the {target.side} of {target.folder}")
