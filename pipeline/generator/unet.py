"""The class-conditional DDPM++ U-Net of EDM; names and shapes of its parameters are those of the published files.

Source: Karras et al. 2022, "Elucidating the Design Space of Diffusion-Based Generative Models", Table 7 and Appendix F.
The class enters by a linear layer, so a soft label [K] is a legal condition; zeros are no condition.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pipeline.generator.blocks import ENDING, Block, Convolution, linear, norm

FREQUENCIES = 1e4  # ratio of the largest frequency of the noise embedding to the smallest


@dataclass(frozen=True, slots=True)
class NetworkSize:
    """What makes one network another. ``multipliers``: of ``channels``, by level, from the full resolution down.

    ``attention``: resolutions with self-attention. ``augment``: numbers that described augmentations in training.
    """

    resolution: int
    classes: int
    channels: int
    multipliers: tuple[int, ...]
    blocks: int
    attention: tuple[int, ...]
    augment: int = 0

    @property
    def resolutions(self) -> list[int]:
        """Of the levels, in pixels."""
        return [self.resolution >> level for level in range(len(self.multipliers))]


class UNet(nn.Module):
    """F(x, noise, c): [B, 3, S, S], [B], [B, K] -> [B, 3, S, S]."""

    def __init__(self, size: NetworkSize, dropout: float = 0.0) -> None:
        super().__init__()
        self.size, wide = size, 4 * size.channels
        self.map_label = linear(size.classes, size.channels)
        if size.augment:
            self.map_augment = linear(size.augment, size.channels, bias=False)
        self.map_layer0 = linear(size.channels, wide)
        self.map_layer1 = linear(wide, wide)
        self.enc, kept = _encoder(size, wide, dropout)
        self.dec = _decoder(size, wide, dropout, kept)

    def forward(self, x: Tensor, noise: Tensor, labels: Tensor) -> Tensor:
        """``noise`` [B]: EDM's c_noise; ``labels`` [B, K]: distributions over the classes."""
        emb = self._embedding(noise, labels)
        kept: list[Tensor] = []
        for layer in self.enc.values():
            x = layer(x, emb) if isinstance(layer, Block) else layer(x)
            kept.append(x)
        for name, layer in self.dec.items():
            if "_block" in name:
                x = torch.cat([x, kept.pop()], dim=1)
            elif name.endswith("_aux_conv"):
                x = F.silu(x)
            x = layer(x, emb) if isinstance(layer, Block) else layer(x)
        return x

    def _embedding(self, noise: Tensor, labels: Tensor) -> Tensor:
        half = self.size.channels // 2
        powers = torch.arange(half, dtype=torch.float32, device=noise.device) / (half - 1)
        angles = noise[:, None] * FREQUENCIES**-powers
        waves = torch.cat([angles.sin(), angles.cos()], dim=1)
        emb = waves + self.map_label(labels * math.sqrt(self.size.classes))
        return F.silu(self.map_layer1(F.silu(self.map_layer0(emb))))


def is_possible(size: NetworkSize) -> bool:
    """Whether each layer's channels can be divided into the groups of its norm."""
    try:
        with torch.device("meta"):
            UNet(size)
    except (ValueError, ZeroDivisionError):
        return False
    return True


def _encoder(size: NetworkSize, wide: int, dropout: float) -> tuple[nn.ModuleDict, list[int]]:
    """The layers by name, and the channels of their outputs, each of which the decoder takes again."""
    layers: dict[str, nn.Module] = {f"{size.resolution}x{size.resolution}_conv": Convolution(3, size.channels, 3)}
    kept = [size.channels]
    for level, (side, multiplier) in enumerate(zip(size.resolutions, size.multipliers, strict=True)):
        if level:
            layers[f"{side}x{side}_down"] = Block(kept[-1], kept[-1], wide, dropout, "down")
            kept.append(kept[-1])
        for number in range(size.blocks):
            out = size.channels * multiplier
            attention = side in size.attention
            layers[f"{side}x{side}_block{number}"] = Block(kept[-1], out, wide, dropout, attention=attention)
            kept.append(out)
    return nn.ModuleDict(layers), kept


def _decoder(size: NetworkSize, wide: int, dropout: float, kept: list[int]) -> nn.ModuleDict:
    """The layers by name; a ``block`` takes the newest of the encoder's outputs that is left beside its input."""
    layers: dict[str, nn.Module] = {}
    now, waiting = kept[-1], list(kept)
    for level, (side, multiplier) in reversed(list(enumerate(zip(size.resolutions, size.multipliers, strict=True)))):
        if level == len(size.multipliers) - 1:
            layers[f"{side}x{side}_in0"] = Block(now, now, wide, dropout, attention=True)
            layers[f"{side}x{side}_in1"] = Block(now, now, wide, dropout)
        else:
            layers[f"{side}x{side}_up"] = Block(now, now, wide, dropout, "up")
        for number in range(size.blocks + 1):
            attention = side in size.attention and number == size.blocks
            inside, now = now + waiting.pop(), size.channels * multiplier
            layers[f"{side}x{side}_block{number}"] = Block(inside, now, wide, dropout, attention=attention)
    layers[f"{size.resolution}x{size.resolution}_aux_norm"] = norm(now)
    layers[f"{size.resolution}x{size.resolution}_aux_conv"] = Convolution(now, 3, 3, scale=ENDING)
    return nn.ModuleDict(layers)
