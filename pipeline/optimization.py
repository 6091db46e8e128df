"""SGD with the 7/16 cosine, and the moving average that is evaluated (FACTS: USB, TorchSSL, the release)."""

import math

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from pipeline.options import EmaConfig, OptimizerConfig


def learning_rate(peak: float, step: int, steps: int) -> float:
    """peak x cos(7/16 pi t/T): a function of the step, so nothing to save; ends at .195 of the peak."""
    return peak * math.cos(7 / 16 * math.pi * step / steps)


def build_optimizer(model: nn.Module, config: OptimizerConfig) -> torch.optim.SGD:
    """Nesterov SGD; weight decay only on parameters of two or more dimensions.

    The momentum buffers are made here, of zeros (the first update of a zero buffer is the gradient itself, as
    torch's own first step), so that a checkpoint can be loaded into them at any time.
    """
    trained = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    nesterov = config.momentum > 0
    optimizer = torch.optim.SGD(groups, config.lr, config.momentum, nesterov=nesterov, fused=True)
    for parameter in trained:
        optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
    return optimizer


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Of every parameter group."""
    for group in optimizer.param_groups:
        group["lr"] = rate


Tensors = tuple[Tensor, ...] | list[Tensor]


def build_ema(model: nn.Module, config: EmaConfig, held: Tensor | None = None) -> AveragedModel:
    """Moving average that starts at the initial weights. ``buffers``: BN statistics copied raw, or averaged too.

    ``held`` [] on the device: 1 where it must not move, else 0. The count of updates is kept on the host: AveragedModel
    asks for its value at every step.
    """

    @torch.no_grad()
    def average(averaged: Tensors, current: Tensors, _: object) -> None:
        share = torch.full_like(averaged[0].flatten()[0], 1 - config.decay)
        change = torch._foreach_sub(current, averaged)
        torch._foreach_mul_(change, share if held is None else share * (1 - held.to(share.dtype)))
        torch._foreach_add_(averaged, change)

    ema = AveragedModel(model, multi_avg_fn=average, use_buffers=config.buffers == "average")
    ema.requires_grad_(False)
    ema.n_averaged = torch.ones((), dtype=torch.long)
    return ema
