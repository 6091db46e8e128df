"""Wide residual networks as the semi-supervised literature trains them (Zagoruyko & Komodakis 2016; USB).

wrn-D-K: three groups of (D - 4) / 6 pre-activation blocks, widths 16K, 32K, 64K, strides 1, 2, 2.
wrn-37-2 ("WRN-var"): four groups of 4 blocks, widths 32, 64, 128, 256, strides 2, 2, 2, 2, for 96 px images.
"""

import re
from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

from pipeline.config.sections import ModelConfig
from pipeline.models.headed import Change, changed_between, classify

WIDE_NAMES = "wrn-D-K with D = 6n + 4, like wrn-10-1, wrn-16-1, wrn-28-2, wrn-28-8; wrn-37-2"
SLOPE = 0.1  # of every LeakyReLU


def norm_layer(channels: int, norm: str, momentum: float, eps: float) -> nn.Module:
    """BatchNorm with the reference's momentum (torch's convention), or GroupNorm of up to 8 groups."""
    if norm == "group":
        return nn.GroupNorm(8, channels)
    return nn.BatchNorm2d(channels, eps=eps, momentum=momentum)


class Block(nn.Module):
    """Pre-activation basic block.

    Where the width changes, the reference feeds conv1 the raw input and throws the first activation away
    (``dead_preactivation``), except in the first group. Those bn1 weights then never get a gradient; here they
    exist, for equal parameter counts, but are not computed.
    """

    def __init__(self, inside: int, out: int, stride: int, first_group: bool, dead: bool, norm: str, momentum: float):
        super().__init__()
        self.norm1 = norm_layer(inside, norm, momentum, 1e-5)
        self.conv1 = nn.Conv2d(inside, out, 3, stride, 1, bias=False)
        self.norm2 = norm_layer(out, norm, momentum, 1e-5)
        self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.same = inside == out
        self.shortcut = None if self.same else nn.Conv2d(inside, out, 1, stride, bias=False)
        self.activate_shortcut = first_group and not self.same
        self.dead = dead and not self.same and not first_group
        if self.dead:
            self.norm1.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        """[B, inside, H, W] -> [B, out, H / stride, W / stride]."""
        active = x if self.dead else F.leaky_relu(self.norm1(x), SLOPE, inplace=True)
        out = F.leaky_relu(self.norm2(self.conv1(active)), SLOPE, inplace=True)
        if self.shortcut is not None:
            x = self.shortcut(active if self.activate_shortcut else x)
        return self.conv2(out).add_(x)  # in place: one tensor less in memory


class WideResNet(nn.Module):
    """Images [B, 3, H, W] -> (logits [B, C] in float32 or better, pooled features [B, D])."""

    def __init__(
        self,
        widths: tuple[int, ...],
        strides: tuple[int, ...],
        blocks: int,
        num_classes: int,
        norm: str = "batch",
        norm_momentum: float = 0.001,
        dead_preactivation: bool = True,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.dropout = dropout
        self.cuts = blocks, 2 * blocks  # how many blocks the first and the second group end after
        self.stem = nn.Conv2d(3, 16, 3, 1, 1)
        layers: list[nn.Module] = []
        inside = 16
        for group, (width, stride) in enumerate(zip(widths, strides, strict=True)):
            for i in range(blocks):
                step = stride if i == 0 else 1
                layers.append(Block(inside, width, step, group == 0, dead_preactivation, norm, norm_momentum))
                inside = width
        self.blocks = nn.Sequential(*layers)
        self.norm = norm_layer(inside, norm, norm_momentum, 1e-3)
        self.head = nn.Linear(inside, num_classes)
        self.apply(_initialise)

    def forward(self, x: Tensor, stage: int = 0, change: Change | None = None) -> tuple[Tensor, Tensor]:
        """As the class says; after group ``stage``, counted from 1, activations become ``change`` of them."""
        x = self.stem(x)
        x = self.blocks(x) if change is None else changed_between([*self.blocks], self.cuts[stage - 1], x, change)
        x = F.leaky_relu(self.norm(x), SLOPE)
        return classify(self.head, x.mean(dim=(2, 3)), self.dropout if self.training else 0.0)


def _initialise(module: nn.Module) -> None:
    """Convolutions Kaiming normal over fan-out with gain sqrt 2, the head Xavier normal, biases as USB's."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    elif isinstance(module, nn.Linear):
        nn.init.xavier_normal_(module.weight)
        nn.init.zeros_(module.bias)


class WideShape(NamedTuple):
    """What a name stands for."""

    widths: tuple[int, ...]
    strides: tuple[int, ...]
    blocks: int  # of each group


def wide_shape(name: str) -> WideShape | None:
    """What wrn-D-K stands for; None where it stands for nothing."""
    match = re.fullmatch(r"wrn-(\d+)-(\d+)", name)
    depth, widen = (int(g) for g in match.groups()) if match else (0, 0)
    if (depth, widen) == (37, 2):
        return WideShape((32, 64, 128, 256), (2, 2, 2, 2), 4)
    if depth >= 10 and depth % 6 == 4 and widen >= 1:
        return WideShape(tuple(w * widen for w in (16, 32, 64)), (1, 2, 2), (depth - 4) // 6)
    return None


def wide_resnet(config: ModelConfig, num_classes: int) -> WideResNet:
    """The network of a valid name wrn-D-K."""
    shape = wide_shape(config.name)
    assert shape is not None, config.name
    return WideResNet(*shape, num_classes, config.norm, config.norm_momentum, config.dead_preactivation, config.dropout)
