"""Small contexts for algorithms and mixes, and fixed batches for steps."""

from typing import Any

import numpy as np
import torch

from pipeline import config
from pipeline.data.dataset import Dataset
from pipeline.distributed import Ranks
from pipeline.methods.mixing import Mixing, MixingPool
from pipeline.methods.protocols import MethodContext
from pipeline.methods.step_types import Group, Inputs, Observed, Outputs, Pairs, Part, PseudoLabels
from pipeline.models.numerics import Numerics

LABELLED, UNLABELLED, CLASSES, SIZE = 4, 12, 3, 8
SPLIT_LABELS = torch.tensor([0, 1, 2, 0, 1])
LABELLED_ROWS = torch.tensor([3, 0, 3, 4])  # a repeat


def context(
    *sets: str, classes: int = CLASSES, rows: int = UNLABELLED, dtype: torch.dtype = torch.float64
) -> MethodContext:
    """With five labelled samples, the device is the CPU."""
    return MethodContext(
        config=config.load(None, ["dataset=x", f"batch.labelled={LABELLED}", "batch.ratio=3", *sets]),
        num_classes=classes,
        num_rows=rows,
        num_unlabelled=rows,
        labels=SPLIT_LABELS,
        repeats=2,
        labelled_repeats=2,
        dtype=dtype,
        device=torch.device("cpu"),
    )


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
    own = [slice(ranks.rank * n // ranks.world, (ranks.rank + 1) * n // ranks.world) for n in sizes]
    labels, index = SPLIT_LABELS[LABELLED_ROWS[own[0]]], LABELLED_ROWS.numpy() * 10
    rows, nobody = torch.arange(unlabelled // ranks.world), np.zeros(1, np.int64)
    parts = {
        "labelled": Part(images[0][own[0]], None, labels, LABELLED_ROWS, index, np.arange(LABELLED)),
        "unlabelled": Part(images[1][own[1]], images[1].flip(0)[own[1]], None, rows, nobody, nobody),
    }
    seen = [Outputs(z[mine], f[mine]) for z, f, mine in zip(logits, features, own, strict=True)]
    guess = seen[1].logits.argmax(dim=1)
    return Inputs(step, parts), Observed(*seen), PseudoLabels(guess, torch.ones(len(guess), dtype=torch.float64))


def views(inputs: Inputs) -> torch.Tensor:
    """This rank's weak views of the fixed batch, as the mixing pool holds them."""
    return torch.cat([inputs.labelled.weak, inputs.unlabelled.weak])


def mixing_pool(ranks: Ranks, *sets: str, step: int = 5, unlabelled: int = UNLABELLED) -> MixingPool:
    """The pool of the fixed batch."""
    mixing = Mixing(context(*sets).config, CLASSES, SPLIT_LABELS, ranks, numerics())
    return mixing.pool(*batch(ranks, step, unlabelled))


def mixed_by(ranks: Ranks, mix: Any, *sets: str, unlabelled: int = UNLABELLED) -> tuple[Pairs, Group]:
    """Pairs and this rank's mixed images of the fixed batch, after two visits."""
    mixing = mix(context(*sets, rows=unlabelled // ranks.world))
    pool = mixing_pool(ranks, *sets, unlabelled=unlabelled)
    for _ in range(2):
        mixing.track(pool.inputs, pool.observed)
    pairs = mixing.pair(pool)
    return pairs, pool.mixed_group(pairs)
