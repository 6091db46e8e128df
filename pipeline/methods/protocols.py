"""What an algorithm and a mix are: what they are told at the start, what they are asked, what they answer."""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from pipeline.config import Config
from pipeline.methods.mixing import MixingPool
from pipeline.methods.step_types import Group, Inputs, Observed, PseudoLabels, Saved


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodContext:
    """What an algorithm or a mix is built from."""

    config: Config
    num_classes: int
    num_rows: int  # of this rank's part of a table over the unlabelled samples
    num_unlabelled: int  # samples of the unlabelled stream, over all ranks
    labels: Tensor  # [labelled samples] int64, of the split, on the device
    repeats: int  # how often an unlabelled sample can occur in this rank's part of a batch at most
    labelled_repeats: int  # how often a labelled one can occur in the global batch
    dtype: torch.dtype  # of logits
    device: torch.device


class Algorithm(Protocol):
    """A base algorithm: from the weak view's logits to targets for the strong view."""

    def pseudo_label(self, logits: Tensor, rows: Tensor) -> PseudoLabels:
        """``logits`` [b, C] floating, without gradient; ``rows`` [b] int64: who the samples are. This rank's part."""
        ...

    def state(self) -> Saved:
        """What a checkpoint keeps."""
        ...


class Mix(Protocol):
    """What is mixed: ``track`` sees every step, ``groups`` the steps after the warm-up."""

    def track(self, inputs: Inputs, observed: Observed) -> None:
        """Updates what is remembered of each sample."""
        ...

    def groups(self, base: list[Group], pool: MixingPool) -> list[Group]:
        """What the step learns: the groups of ``base``, with mixed images added or put in the place of some."""
        ...

    def state(self) -> Saved:
        """What a checkpoint keeps."""
        ...
