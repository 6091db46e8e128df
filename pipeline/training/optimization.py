"""SGD and AdamW, and the moving average that is evaluated (FACTS: USB, TorchSSL, the release)."""

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from pipeline.config.sections import EmaConfig, OptimizerConfig

# What an optimizer remembers of a parameter -> where a checkpoint has it.
SAVED = {
    "momentum_buffer": "momentum",
    "exp_avg": "adamw_mean",
    "exp_avg_sq": "adamw_square",
    "step": "adamw_steps",
}


def build_optimizer(model: nn.Module, config: OptimizerConfig) -> torch.optim.Optimizer:
    """``config.name`` over groups of parameters with ``lr_scale`` and weight decay. ValueError as `layer_scales`.

    What it remembers is made here, of zeros, as its own first step would, so that a checkpoint can be loaded into it at
    any time.
    """
    groups = parameter_groups(model, config)
    return OPTIMIZERS[config.name]([group for group in groups if group["params"]] or groups, config)


def parameter_groups(model: nn.Module, config: OptimizerConfig) -> list[dict[str, Any]]:
    """By layer, those with weight decay before those without: of two or more dimensions, or all (``decay_on``).

    The network's ``undecayed`` parameters (positions, tokens) count among those of one dimension, as in USB.
    """
    scales, undecayed = layer_scales(model, config.layer_decay), getattr(model, "undecayed", ())
    groups: dict[tuple[float, bool], dict[str, Any]] = {}
    for scale in sorted(set(scales.values())):
        for decays in (True, False):
            decay = config.weight_decay * (decays or config.decay_on == "all")
            groups[scale, decays] = {"params": [], "weight_decay": decay, "lr_scale": scale, "lr": config.lr * scale}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            groups[scales[name], parameter.ndim > 1 and name not in undecayed]["params"].append(parameter)
    return list(groups.values())


def layer_scales(model: nn.Module, decay: float) -> dict[str, float]:
    """What lr is multiplied by, by parameter: decay ** (layers behind it), 1 for the classifier (Clark et al. 2020).

    ValueError where the network does not number its layers.
    """
    names, layers = [name for name, _ in model.named_parameters()], getattr(model, "layers", {})
    if decay == 1:
        return dict.fromkeys(names, 1.0)
    if not layers:
        raise ValueError(f"optimizer.layer_decay={decay}: this network does not number its layers; leave it out")
    last = max(layers.values())
    return {name: decay ** (last - layers[name]) for name in names}


def _sgd(groups: list[dict[str, Any]], config: OptimizerConfig) -> torch.optim.Optimizer:
    """Nesterov's. (The first update of a zero buffer is the gradient itself.)"""
    optimizer = torch.optim.SGD(groups, config.lr, config.momentum, nesterov=config.momentum > 0, fused=True)
    for parameter in parameters_of(optimizer):
        optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
    return optimizer


def _adamw(groups: list[dict[str, Any]], config: OptimizerConfig) -> torch.optim.Optimizer:
    """Loshchilov & Hutter 2019; the steps of each parameter are counted on the device, in float32."""
    optimizer = torch.optim.AdamW(groups, config.lr, fused=True)
    for parameter in parameters_of(optimizer):
        moments = {name: torch.zeros_like(parameter) for name in ("exp_avg", "exp_avg_sq")}
        optimizer.state[parameter] = {"step": torch.zeros((), device=parameter.device), **moments}
    return optimizer


OPTIMIZERS: dict[str, Callable[[list[dict[str, Any]], OptimizerConfig], torch.optim.Optimizer]] = {
    "sgd": _sgd,
    "adamw": _adamw,
}


def parameters_of(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    """What it trains."""
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def optimizer_state(optimizer: torch.optim.Optimizer, model: nn.Module) -> dict[str, dict[str, Any]]:
    """What it remembers, by the places in SAVED and parameters' names; by reference, so that loading fills it."""
    trained = {name: optimizer.state[p] for name, p in model.named_parameters() if p.requires_grad}
    kinds = dict.fromkeys(kind for state in trained.values() for kind in state)
    return {SAVED[kind]: {name: state[kind] for name, state in trained.items()} for kind in kinds}


def clip_gradient(model: nn.Module, norm: float) -> None:
    """Scales the gradient down to a total L2 norm of ``norm`` where it is longer, without a host synchronisation."""
    nn.utils.clip_grad_norm_([p for p in model.parameters() if p.requires_grad], norm, foreach=True)


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Of every parameter group, in proportion to its ``lr_scale``."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group.get("lr_scale", 1.0)


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
