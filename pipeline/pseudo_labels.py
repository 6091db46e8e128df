"""What every algorithm says of the unlabelled batch."""

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor


@dataclass(frozen=True, slots=True)
class PseudoLabels:
    """Of B unlabelled images: the hard pseudo-label and how much its loss counts."""

    label: Tensor  # [B] int64
    weight: Tensor  # [B] floating, in [0, 1]


class Algorithm(Protocol):
    """A base algorithm: from the weak view's logits to targets for the strong view."""

    def pseudo_label(self, logits: Tensor) -> PseudoLabels:
        """``logits`` [B, C] floating, without gradient."""
        ...
