"""SoftMatch: every pseudo-label counts, by a truncated Gaussian of its confidence, after uniform alignment.

Chen et al. 2023, "SoftMatch: Addressing the Quantity-Quality Trade-off in Semi-Supervised Learning", Eqs. 5-8, in the
form of USB, which CalibrateMix builds on: alignment q = p u / p_model renormalised (u uniform), mu and var are moving
averages of mean and unbiased variance of max q, weight = exp(-min(max q - mu, 0)^2 / (2 var / n_sigma^2)).
The pseudo-label is the argmax of the raw logits.
"""

from typing import Any

import torch
from torch import Tensor

from pipeline.distributed import all_reduce_mean, gather_columns
from pipeline.methods.protocols import MethodContext
from pipeline.methods.step_types import PseudoLabels, Saved

EPS = 1e-6


class SoftMatch:
    """Keeps p_model [C], mu and var, taken over the global batch (the peer's reduction over ranks crashes)."""

    def __init__(self, context: MethodContext) -> None:
        options: dict[str, Any] = {"dtype": context.dtype, "device": context.device}
        self.num_classes = context.num_classes
        self.momentum, self.num_sigma = context.config.softmatch.momentum, context.config.softmatch.num_sigma
        self.p_model = torch.zeros(context.num_classes, **options)
        self.mean = torch.full((), 1 / context.num_classes, **options)
        self.variance = torch.ones((), **options)
        self.calls = torch.zeros((), dtype=torch.int64, device=context.device)

    def pseudo_label(self, logits: Tensor, rows: Tensor) -> PseudoLabels:
        """``logits`` [B, C] of the weak views -> labels and weights [B]. Updates before use, as USB."""
        probabilities = logits.softmax(dim=1)
        confidence = self._align(probabilities).amax(dim=1)
        self._follow(gather_columns(confidence)[0])
        short = (confidence - self.mean).clamp(max=0)
        weight = torch.exp(-(short**2) / (2 * self.variance / self.num_sigma**2))
        return PseudoLabels(logits.argmax(dim=1), weight)

    def _align(self, probabilities: Tensor) -> Tensor:
        """q [B, C]. p_model is the batch mean at the first call, its moving average from then on."""
        batch = all_reduce_mean(probabilities.mean(dim=0))
        moved = self.momentum * self.p_model + (1 - self.momentum) * batch
        self.p_model.copy_(torch.where(self.calls == 0, batch, moved))
        self.calls += 1
        aligned = probabilities * (1 / self.num_classes + EPS) / (self.p_model + EPS)
        return aligned / aligned.sum(dim=1, keepdim=True)

    def _follow(self, confidence: Tensor) -> None:
        """Moments of the global batch's max q [U]."""
        self.mean.mul_(self.momentum).add_((1 - self.momentum) * confidence.mean())
        self.variance.mul_(self.momentum).add_((1 - self.momentum) * confidence.var())

    def state(self) -> Saved:
        """Everything is the same on every rank."""
        return Saved({"p_model": self.p_model, "mean": self.mean, "variance": self.variance, "calls": self.calls})
