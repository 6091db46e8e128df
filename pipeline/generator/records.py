"""What a generator is to those who use it: generator.pt, generator.json and positions.npy of its run folder."""

import hashlib
import io
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.config.generator import GeneratorConfig
from pipeline.data.dataset import Dataset, open_dataset
from pipeline.generator.pseudo_labels import described
from pipeline.generator.weights import Weights
from pipeline.runs.files import read_json, write_atomically
from pipeline.runs.read import is_finished, read_status

WEIGHTS, CARD, POSITIONS = "generator.pt", "generator.json", "positions.npy"


@dataclass(frozen=True, slots=True)
class Card:
    """What a generator was trained on. ``side``: pixels of the stored images; ``labels``: name, count and sha256."""

    dataset: str
    classes: list[str]
    side: int
    resolution: int
    label_dropout: float
    labels: dict[str, Any]


def describe(run: Path, config: GeneratorConfig, dataset: Dataset, resolution: int) -> None:
    """Before the first step: positions.npy (int64, in train.beton, of the labelled images) and generator.json."""
    split = dataset.split if config.pseudo_labels is None else open_dataset(config.labelled_data).split
    positions = np.ascontiguousarray(split, dtype="<i8")
    name = described(config, len(positions), len(dataset.split))
    labels = {"name": name, "count": len(positions), "sha256": hashlib.sha256(positions.tobytes()).hexdigest()}
    card = Card(config.dataset, dataset.classes, dataset.stored_size, resolution, config.label_dropout, labels)
    buffer = io.BytesIO()
    np.save(buffer, positions)
    write_atomically(run / POSITIONS, buffer.getvalue())
    write_atomically(run / CARD, json.dumps(asdict(card), indent=1))


def write_generator(run: Path, weights: Weights) -> None:
    """generator.pt: a plain dictionary of tensors by the names of EDM's published networks."""
    buffer = io.BytesIO()
    torch.save({name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}, buffer)
    write_atomically(run / WEIGHTS, buffer.getvalue())


def read_card(run: Path) -> Card:
    """Of a finished run. Raises ValueError."""
    content = read_json(run / CARD)
    if not content:
        raise ValueError(f"{run}: no run of pipeline/train_generator.py ({CARD} is missing); name its folder")
    if not is_finished(run):
        status = read_status(run)
        raise ValueError(f"{run}: stands at step {status.step} of {status.steps}; finish it with its own command")
    return Card(**content)


def read_positions(run: Path) -> NDArray[np.int64]:
    """Positions in train.beton of the labelled images that the run was trained on."""
    return np.load(run / POSITIONS).astype(np.int64)
