"""What every algorithm is told at the start, and what it says of an unlabelled batch."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

if TYPE_CHECKING:
    from pipeline.config import Config

State = dict[str, dict[str, Tensor]]  # "replicated": alike on all ranks; "sharded": this rank's part, by rows


@dataclass(frozen=True, slots=True)
class Problem:
    """What an algorithm is built from."""

    config: "Config"
    num_classes: int
    num_rows: int  # of this rank's part of a table over the unlabelled samples
    num_unlabelled: int  # samples of the unlabelled stream, over all ranks
    dtype: torch.dtype  # of logits
    device: torch.device


@dataclass(frozen=True, slots=True)
class PseudoLabels:
    """Of B unlabelled images: the hard pseudo-label and how much its loss counts."""

    label: Tensor  # [B] int64
    weight: Tensor  # [B] floating, in [0, 1]


class Algorithm(Protocol):
    """A base algorithm: from the weak view's logits to targets for the strong view."""

    def pseudo_label(self, logits: Tensor, rows: Tensor) -> PseudoLabels:
        """``logits`` [B, C] floating, without gradient; ``rows`` [B] int64: who the samples are. This rank's part."""
        ...

    def state(self) -> State:
        """Tensors to save, by reference."""
        ...
