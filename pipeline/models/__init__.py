"""Networks by name."""

import re

import torch
from torch import nn

from pipeline.config import ModelConfig
from pipeline.models.wide_resnet import WideResNet


def parse(name: str) -> tuple[tuple[int, ...], tuple[int, ...], int]:
    """(widths, strides, blocks a group) of a name. ValueError where it is unknown."""
    shape: tuple[tuple[int, ...], tuple[int, ...], int]
    match = re.fullmatch(r"wrn-(\d+)-(\d+)", name)
    depth, widen = (int(g) for g in match.groups()) if match else (0, 0)
    if depth == 37 and widen >= 1:
        shape = (16, 32, 64, 128), (2, 2, 2, 2), 4
    elif depth >= 10 and depth % 6 == 4 and widen >= 1:
        shape = (16, 32, 64), (1, 2, 2), (depth - 4) // 6
    else:
        known = "wrn-10-1, wrn-16-1, wrn-28-2, wrn-28-8, wrn-37-2"
        raise ValueError(f"model.name: unknown model {name!r}; known: wrn-D-K with D = 6n + 4, like {known}")
    widths, strides, blocks = shape
    return tuple(w * widen for w in widths), strides, blocks


def build(config: ModelConfig, num_classes: int, seed: int) -> nn.Module:
    """The network of ``config.name`` with weights drawn from ``seed``, on the CPU in float32."""
    widths, strides, blocks = parse(config.name)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return WideResNet(
            widths, strides, blocks, num_classes, config.norm, config.norm_momentum, config.dead_preactivation
        )
