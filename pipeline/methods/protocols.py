"""What algorithms and mixes are told at the start, and what they answer."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from pipeline.methods.pairing import Pairs

if TYPE_CHECKING:
    from pipeline.config.options import Config
    from pipeline.methods.mixing import Pool
    from pipeline.training.step import Inputs, Observed

# "replicated" and "labelled": alike on all ranks, the latter by rows of the split; "sharded": this rank's rows.
State = dict[str, dict[str, Tensor]]


@dataclass(frozen=True, slots=True)
class Problem:
    """What an algorithm or a mix is built from."""

    config: "Config"
    num_classes: int
    num_rows: int  # of this rank's part of a table over the unlabelled samples
    num_unlabelled: int  # samples of the unlabelled stream, over all ranks
    dtype: torch.dtype  # of logits
    device: torch.device
    labels: Tensor  # [labelled samples] int64, of the split, on the device
    repeats: int  # how often an unlabelled sample can occur in this rank's part of a batch at most
    labelled_repeats: int  # how often a labelled one in the global batch


@dataclass(frozen=True, slots=True)
class PseudoLabels:
    """Of B unlabelled images: the hard pseudo-label and how much its loss counts."""

    label: Tensor  # [B] int64
    weight: Tensor  # [B] floating, in [0, 1]


class Algorithm(Protocol):
    """A base algorithm: from the weak view's logits to targets for the strong view."""

    uses_unlabelled: bool  # False: the unlabelled stream is not even read

    def pseudo_label(self, logits: Tensor, rows: Tensor) -> PseudoLabels:
        """``logits`` [B, C] floating, without gradient; ``rows`` [B] int64: who the samples are. This rank's part."""
        ...

    def state(self) -> State:
        """Tensors to save, by reference."""
        ...


class Mix(Protocol):
    """What is mixed: ``track`` sees every step, ``pair`` the steps after the warm-up."""

    observes: bool  # True: needs logits or features of the labelled weak views

    def track(self, inputs: "Inputs", seen: "Observed") -> None:
        """Updates what is remembered of each sample."""
        ...

    def pair(self, inputs: "Inputs", seen: "Observed", pseudo: PseudoLabels, pool: "Pool") -> Pairs | None:
        """Who is mixed with whom: the same list on every rank that shares the pool; None: nothing is mixed."""
        ...

    def state(self) -> State:
        """Tensors to save, by reference."""
        ...
