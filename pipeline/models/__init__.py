"""Networks by name."""

import re
from typing import NamedTuple

import torch
from torch import nn

from pipeline.config.options import ModelConfig
from pipeline.models.resnet import ResNet50
from pipeline.models.wide_resnet import WideResNet

RESNET = "resnet-50"
KNOWN = f"known: wrn-D-K with D = 6n + 4, like wrn-10-1, wrn-16-1, wrn-28-2, wrn-28-8; wrn-37-2; {RESNET}"


class Shape(NamedTuple):
    """Of a wide residual network."""

    widths: tuple[int, ...]
    strides: tuple[int, ...]
    blocks: int  # of each group


def check(name: str) -> None:
    """ValueError where there is no such network."""
    if name != RESNET:
        wide_shape(name)


def wide_shape(name: str) -> Shape:
    """What wrn-D-K stands for. ValueError where it stands for nothing."""
    match = re.fullmatch(r"wrn-(\d+)-(\d+)", name)
    depth, widen = (int(g) for g in match.groups()) if match else (0, 0)
    if depth == 37 and widen >= 1:
        return Shape(tuple(w * widen for w in (16, 32, 64, 128)), (2, 2, 2, 2), 4)
    if depth >= 10 and depth % 6 == 4 and widen >= 1:
        return Shape(tuple(w * widen for w in (16, 32, 64)), (1, 2, 2), (depth - 4) // 6)
    raise ValueError(f"model.name: unknown model {name!r}; {KNOWN}")


def build(config: ModelConfig, num_classes: int, seed: int) -> nn.Module:
    """The network of ``config.name`` with weights drawn from ``seed``, on the CPU in float32. Raises ValueError."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if config.name == RESNET:
            return ResNet50(num_classes, config.norm, config.norm_momentum)
        shape = wide_shape(config.name)
        return WideResNet(*shape, num_classes, config.norm, config.norm_momentum, config.dead_preactivation)


def network(config: ModelConfig, num_classes: int, seed: int, device: torch.device, dtype: torch.dtype) -> nn.Module:
    """The network as runs train and restore it: on ``device``, in ``dtype`` and channels_last. Raises ValueError."""
    return build(config, num_classes, seed).to(device, dtype).to(memory_format=torch.channels_last)
