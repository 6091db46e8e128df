"""FixMatch: a pseudo-label counts where the model is sure of it.

Sohn et al. 2020, "FixMatch: Simplifying Semi-Supervised Learning with Consistency and Confidence", Eq. 4:
p = softmax(weak logits), pseudo-label = argmax p, weight = [max p >= tau].
"""

from torch import Tensor

from pipeline.methods.protocols import MethodContext
from pipeline.methods.step_types import PseudoLabels, Saved


class FixMatch:
    """Fixed threshold on the confidence of the weak view. Keeps no state."""

    def __init__(self, context: MethodContext) -> None:
        self.threshold = context.config.unlabelled.threshold

    def pseudo_label(self, logits: Tensor, rows: Tensor) -> PseudoLabels:
        """``logits`` [B, C] of the weak unlabelled views -> labels and weights [B]."""
        confidence, label = logits.softmax(dim=1).max(dim=1)
        return PseudoLabels(label, (confidence >= self.threshold).to(logits.dtype))

    def state(self) -> Saved:
        """Nothing to save."""
        return Saved()
