"""What a training step passes between its acts: plain records of tensors, importing nothing of this project.

Words used everywhere: an **index** is a sample's position in its beton; a **row** is its entry in a table that a method
keeps of all samples (AUM, APM ...); a **position** counts within a batch. ``b`` images are this rank's, n the batch's.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

Change = Callable[[Tensor], Tensor]  # activations [n, ...] -> the same shape
Loss = Callable[[Tensor, Tensor], Tensor]  # logits [n, C], targets [n] or [n, C] -> losses [n]


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a step's batch, such as the labelled images: views of this rank's images, and who they are.

    ``rows``, ``index`` and ``visit`` name the n images of the GLOBAL batch where every rank keeps the part's tables
    whole (labelled), and this rank's b images where the tables are sharded (unlabelled) or only read (augmented).
    """

    weak: Tensor  # [b, 3, S, S] uint8
    strong: Tensor | None  # [b, 3, S, S] uint8, of the same images; None where training needs none
    labels: Tensor | None  # [b] int64; None where they are not known
    rows: Tensor  # [n] int64
    index: NDArray[np.int64]  # [n], on the host
    visit: NDArray[np.int64]  # [n], on the host: how often the sample had been drawn before


@dataclass(frozen=True, slots=True)
class Inputs:
    """A step's batch on the device: its parts by name. ``step`` counts from 0."""

    step: int
    parts: Mapping[str, Part]

    @property
    def labelled(self) -> Part:
        """The labelled images."""
        return self.parts["labelled"]

    @property
    def unlabelled(self) -> Part:
        """The unlabelled images; none in supervised training."""
        return self.parts["unlabelled"]


class Outputs(NamedTuple):
    """What a network says about n images, in float32 or better."""

    logits: Tensor  # [n, C]
    features: Tensor  # [n, D], pooled


@dataclass(frozen=True, slots=True)
class Observed:
    """What the weak views of this rank's images gave, without gradient.

    ``forwarded``: (images, logits with gradient) of the views, where the observing pass learns too (forward=joint).
    """

    labelled: Outputs
    unlabelled: Outputs
    forwarded: Sequence[tuple[Tensor, Tensor]] = ()

    def logits_of(self, images: Tensor) -> Tensor | None:
        """Logits [n, C] with gradient of ``images``, the very tensor; None where they are still to be forwarded."""
        return next((logits for known, logits in self.forwarded if known is images), None)

    def logits(self, part: str) -> Tensor | None:
        """[b, C] of the batch's part of that name, None for a part that is not observed."""
        return {"labelled": self.labelled.logits, "unlabelled": self.unlabelled.logits}.get(part)


@dataclass(frozen=True, slots=True)
class PseudoLabels:
    """Of b unlabelled images: the hard pseudo-label and how much its loss counts."""

    label: Tensor  # [b] int64
    weight: Tensor  # [b] floating, in [0, 1]


@dataclass(frozen=True, slots=True)
class Pairs:
    """M mixed images: ``lam`` x pool[first] + (1 - lam) x pool[second], by position in the mixing pool."""

    first: Tensor  # [M] int64, always a labelled image in CalibrateMix
    second: Tensor  # [M] int64
    lam: Tensor  # [M] floating


@dataclass(frozen=True, slots=True)
class Group:
    """Images that are learned under one loss term: n of them on this rank, ``count`` over all ranks.

    Where ``term`` is the name of a part of the batch, the images are that part's, in its order. The term is
    ``weight`` x the mean of ``loss`` x ``image_weights`` over ``count`` images; weight 0 is not even forwarded.
    """

    term: str  # ``loss_<term>`` in metrics.jsonl
    images: Tensor  # [n, 3, S, S], uint8 or normalised floating
    targets: Tensor  # [n] int64 classes, or [n, C] distributions
    loss: Loss
    count: int
    weight: float = 1.0
    image_weights: Tensor | None = None  # [n] floating; None: each counts fully
    hidden: tuple[int, Change] | None = None  # what becomes of activations after that stage of the network, from 1
    alone: bool = False  # forwarded in a pass of its own, whatever else is forwarded


@dataclass(frozen=True, slots=True)
class StepOutput:
    """What a step learned. Scalars are this rank's shares of global means: their mean over ranks is the global mean."""

    loss: Tensor  # [], with gradient: the objective
    terms: Mapping[str, Tensor]  # [] by term, before its weight
    per_image: Mapping[str, Tensor]  # [n] by term, weighted by image, without gradient


@dataclass(frozen=True, slots=True)
class Saved:
    """Tensors that a method keeps, by reference, for checkpoints; what it does not name it need not save."""

    replicated: Mapping[str, Tensor] = field(default_factory=dict)  # alike on all ranks
    labelled: Mapping[str, Tensor] = field(default_factory=dict)  # alike on all ranks, by rows of the labelled part
    sharded: Mapping[str, Tensor] = field(default_factory=dict)  # this rank's rows of the unlabelled part
