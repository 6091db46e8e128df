"""Small problems for algorithms and mixes, and fixed batches for steps."""

from dataclasses import fields
from typing import Any

import numpy as np
import torch

from pipeline import config
from pipeline.data.batches import NO_VIEWS, Batch, Views
from pipeline.data.dataset import Dataset
from pipeline.distributed import Ranks
from pipeline.methods.mixing import Pool, mix_images
from pipeline.methods.pairing import Pairs
from pipeline.methods.protocols import Problem, PseudoLabels
from pipeline.models.numerics import Numerics
from pipeline.training.step import Inputs, Mixed, Observed

LABELLED, UNLABELLED, CLASSES, SIZE = 4, 12, 3, 8
SPLIT_LABELS = torch.tensor([0, 1, 2, 0, 1])
SLOTS = torch.tensor([3, 0, 3, 4])  # a repeat


def problem(*sets: str, classes: int = CLASSES, rows: int = UNLABELLED, dtype: torch.dtype = torch.float64) -> Problem:
    """With five labelled samples, the device is the CPU."""
    settings = config.load(None, ["dataset=x", f"batch.labelled={LABELLED}", "batch.ratio=3", *sets])
    return Problem(settings, classes, rows, rows, dtype, torch.device("cpu"), SPLIT_LABELS, 2, 2)


def numerics(precision: str = "fp64") -> Numerics:
    """With a mean and a deviation per channel."""
    nothing: Any = None
    dataset = Dataset(
        **dict.fromkeys(Dataset.__dataclass_fields__, nothing) | {"mean": (0.4, 0.5, 0.6), "std": (0.2, 0.3, 0.2)}
    )
    return Numerics(precision, dataset, torch.device("cpu"))


def batch(ranks: Ranks, step: int = 5, unlabelled: int = UNLABELLED) -> tuple[Inputs, Observed, PseudoLabels]:
    """The rank's part of one fixed global batch."""
    random = torch.Generator().manual_seed(1)
    sizes = LABELLED, unlabelled
    images = [torch.randint(0, 256, (n, 3, SIZE, SIZE), dtype=torch.uint8, generator=random) for n in sizes]
    logits = [torch.randn(n, CLASSES, dtype=torch.float64, generator=random) for n in sizes]
    features = [torch.randn(n, 5, dtype=torch.float64, generator=random) for n in sizes]
    mine = [slice(ranks.rank * n // ranks.world, (ranks.rank + 1) * n // ranks.world) for n in sizes]
    one = np.zeros(1, np.int64)
    host = Batch(step, NO_VIEWS, SLOTS.numpy() * 10, np.arange(LABELLED), *[one] * (len(fields(Batch)) - 4))
    views = Views(images[0][mine[0]], images[1][mine[1]], images[1].flip(0)[mine[1]])
    rows = torch.arange(unlabelled // ranks.world)
    made = Inputs(step, views, SPLIT_LABELS[SLOTS[mine[0]]], SLOTS, rows, host)
    observed = Observed(logits[0][mine[0]], features[0][mine[0]], logits[1][mine[1]], features[1][mine[1]])
    guess = observed.unlabelled_logits.argmax(dim=1)
    return made, observed, PseudoLabels(guess, torch.ones(len(guess), dtype=torch.float64))


def mixed_by(ranks: Ranks, mix: Any, *sets: str, unlabelled: int = UNLABELLED) -> tuple[Pairs, Mixed]:
    """Pairs and this rank's mixed images of the fixed batch, after two visits."""
    made = problem(*sets, rows=unlabelled // ranks.world)
    mixing, (inputs, seen, pseudo) = mix(made), batch(ranks, unlabelled=unlabelled)
    for _ in range(2):
        mixing.track(inputs, seen)
    pool = Pool(inputs, made.config.mixing, ranks, numerics())
    pairs = mixing.pair(inputs, seen, pseudo, pool)
    mixed = mix_images(pairs, pool, seen, pseudo, SPLIT_LABELS, CLASSES)
    assert mixed is not None
    return pairs, mixed
