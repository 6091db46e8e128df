"""Batch norm whose statistics are those of all ranks: one small collective a layer and pass, nothing else differs.

So a run is the same on any number of ranks. One rank has torch's own layers, and checkpoints cannot tell the two apart.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from pipeline.distributed import own_group
from pipeline.models import batch_norm_kernels  # noqa: F401  (its operators)
from pipeline.models.frozen_norm import after_norm

OPERATORS = torch.ops.calibratemix


def share_statistics(model: nn.Module, world: int) -> nn.Module:
    """``model`` itself, every batch norm in it over ``world`` ranks from now on. Collective. Raises ValueError."""
    places = [
        (parent, name, child)
        for parent in model.modules()
        for name, child in parent.named_children()
        if isinstance(child, _BatchNorm)
    ]
    if world > 1 and places:
        group = own_group()
        for parent, name, child in places:
            setattr(parent, name, SharedBatchNorm(child, group, world))
    return model


class SharedBatchNorm(_BatchNorm):
    """A batch norm with the parameters and buffers of ``norm``, by the same names."""

    def __init__(self, norm: _BatchNorm, group: str, world: int) -> None:
        """``group``: the name of the ranks' group (a string can be copied, a group cannot). Raises ValueError."""
        if norm.momentum is None or norm.running_mean is None or norm.weight is None or norm.bias is None:
            raise ValueError(f"{norm}: on several ranks batch norm needs momentum, track_running_stats and affine")
        super().__init__(norm.num_features, norm.eps, norm.momentum)
        self.weight, self.bias = norm.weight, norm.bias
        self.running_mean, self.running_var = norm.running_mean, norm.running_var
        self.num_batches_tracked = norm.num_batches_tracked
        self.group, self.world = group, world
        self.drop, self.act = after_norm(norm)
        self.train(norm.training)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, ...] of any B >= 1 -> the same; in training every rank has to come here as often as the others."""
        after: Tensor = self.act(self.drop(self._normalised(x)))
        return after

    def _normalised(self, x: Tensor) -> Tensor:
        if not self.training:
            return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
        self.num_batches_tracked.add_(1)  # type: ignore[union-attr, operator]
        x = x.contiguous(memory_format=_layout(x))
        mean, invstd, counts = OPERATORS.statistics(
            x.detach(), self.running_mean, self.running_var, self.momentum, self.eps, self.group, self.world
        )
        normalised: Tensor = _Normalise.apply(x, self.weight, self.bias, mean, invstd, counts, self.group)
        return normalised


class _Normalise(torch.autograd.Function):
    """Normalises by given statistics; the gradient knows that they came from x, on all ranks."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, invstd: Tensor, counts: Tensor, group: str
    ) -> Tensor:
        ctx.save_for_backward(x, weight, mean, invstd, counts)
        ctx.group = group
        normalised: Tensor = OPERATORS.normalise(x, weight, bias, mean, invstd)
        return normalised

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        x, *others = ctx.saved_tensors
        gradients = OPERATORS.backward(grad.contiguous(memory_format=_layout(x)), x, *others, ctx.group)
        return (*gradients, None, None, None, None)


def _layout(x: Tensor) -> torch.memory_format:
    is_channels_last = x.ndim == 4 and x.is_contiguous(memory_format=torch.channels_last)
    return torch.channels_last if is_channels_last else torch.contiguous_format
