"""SGD, and the moving average that is evaluated (FACTS: USB, TorchSSL, the release)."""

import copy

import torch
from torch import Tensor, nn

from pipeline.config.sections import EmaConfig, OptimizerConfig


def build_optimizer(model: nn.Module, config: OptimizerConfig) -> torch.optim.SGD:
    """Nesterov SGD; weight decay on all parameters, or only on those of two or more dimensions.

    The momentum buffers are made here, of zeros (the first update of a zero buffer is the gradient itself, as
    torch's own first step), so that a checkpoint can be loaded into them at any time.
    """
    trained = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": config.weight_decay},
        {
            "params": [p for p in trained if p.ndim <= 1],
            "weight_decay": config.weight_decay * (config.decay_on == "all"),
        },
    ]
    nesterov = config.momentum > 0
    optimizer = torch.optim.SGD(groups, config.lr, config.momentum, nesterov=nesterov, fused=True)
    for parameter in trained:
        optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
    return optimizer


def clip_gradient(model: nn.Module, norm: float) -> None:
    """Scales the gradient down to a total L2 norm of ``norm`` where it is longer, without a host synchronisation."""
    nn.utils.clip_grad_norm_([p for p in model.parameters() if p.requires_grad], norm, foreach=True)


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Of every parameter group."""
    for group in optimizer.param_groups:
        group["lr"] = rate


class MovingAverage(nn.Module):
    """``module``: a copy of the network that follows its weights, the one that is evaluated.

    torch's AveragedModel counts updates and asks for the count at every step, which a device would have to answer.
    ``held`` [] on the device: 1 where it must not move, else 0.
    """

    def __init__(self, model: nn.Module, config: EmaConfig, held: Tensor | None = None) -> None:
        """``config.buffers``: BN statistics are copied from the network, or averaged like weights."""
        super().__init__()
        self.module = copy.deepcopy(model).requires_grad_(False)
        self.rate, self.held = 1 - config.decay, torch.zeros(()) if held is None else held
        average = config.buffers == "average"
        self._averaged, copied = _chosen(self.module, average)
        self._current, source = _chosen(model, average)
        # By dtype: of a mixed list CUDA copies each tensor by itself.
        self._copies = [
            [[t for t in tensors if t.dtype == dtype] for tensors in (copied, source)]
            for dtype in dict.fromkeys(t.dtype for t in copied)
        ]

    @torch.no_grad()
    def update(self) -> None:
        """One step towards the network: a few kernels over all tensors, no host synchronisation."""
        change = torch._foreach_sub(self._current, self._averaged)
        torch._foreach_mul_(change, self.rate * (1 - self.held.to(change[0].dtype)))
        torch._foreach_add_(self._averaged, change)
        for copied, source in self._copies:
            torch._foreach_copy_(copied, source)


def _chosen(model: nn.Module, average: bool) -> tuple[list[Tensor], list[Tensor]]:
    """Tensors that are averaged, tensors that are copied; ``average``: BN's running statistics are averaged too."""
    averaged: list[Tensor] = [p.detach() for p in model.parameters()]
    statistics = [b for b in model.buffers() if average and b.is_floating_point()]
    copied = [b for b in model.buffers() if not (average and b.is_floating_point())]
    return averaged + statistics, copied
