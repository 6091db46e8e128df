"""Supervised training: the labelled images alone, the bound that semi-supervised methods are measured by.

Cross-entropy on weak views of the labelled images (FullySupervised of the paper's tables with ``labels: all``).
"""

import torch
from torch import Tensor

from pipeline.methods.protocols import MethodContext
from pipeline.methods.step_types import PseudoLabels, Saved


class Supervised:
    """Reads no unlabelled image and keeps no state."""

    def __init__(self, context: MethodContext) -> None:
        """Needs nothing."""

    def pseudo_label(self, logits: Tensor, rows: Tensor) -> PseudoLabels:
        """``logits`` [0, C] -> nothing, of weight nothing."""
        return PseudoLabels(logits.argmax(dim=1), torch.zeros_like(logits[:, 0]))

    def state(self) -> Saved:
        """Nothing to save."""
        return Saved()
