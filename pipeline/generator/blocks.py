"""The building blocks of the DDPM++ U-Net (Song et al. 2021; Karras et al. 2022, Table 7), named as in EDM's files.

Images are [B, C, H, W]; ``emb`` [B, E] is the embedding of noise level and class.
"""

import math
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Layer = TypeVar("Layer", nn.Linear, "Convolution")

SHARE = math.sqrt(0.5)  # of a residual and of its branch: two of unit variance give a sum of unit variance
ENDING = 1e-5  # share of Xavier's weights in convolutions that end a residual: a new network is nearly the identity
RESAMPLE: dict[str, Callable[[Tensor], Tensor]] = {
    "": lambda x: x,
    "down": lambda x: F.avg_pool2d(x, 2),
    "up": lambda x: F.interpolate(x, scale_factor=2, mode="nearest"),
}


def norm(channels: int) -> nn.GroupNorm:
    """Group norm with at least 4 channels a group and at most 32 groups."""
    return nn.GroupNorm(min(32, channels // 4), channels, eps=1e-6)


def linear(inside: int, out: int, bias: bool = True) -> nn.Linear:
    """[..., inside] -> [..., out], with Xavier's uniform weights at first."""
    return _initialised(nn.Linear(inside, out, bias), 1.0)


class Convolution(nn.Conv2d):
    """[B, inside, H, W] -> [B, out, H, W], or half or twice H and W where it resamples, which comes before the weights.

    ``scale``: of its weights at first, beside Xavier's uniform ones.
    """

    def __init__(self, inside: int, out: int, kernel: int, resample: str = "", scale: float = 1.0) -> None:
        super().__init__(inside, out, kernel, padding=kernel // 2)
        self.resample = RESAMPLE[resample]
        _initialised(self, scale)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        return super().forward(self.resample(x))


class Block(nn.Module):
    """A residual block, then perhaps self-attention: [B, inside, H, W], [B, E] -> [B, out, H', W']."""

    def __init__(
        self, inside: int, out: int, embedding: int, dropout: float, resample: str = "", attention: bool = False
    ) -> None:
        super().__init__()
        self.norm0 = norm(inside)
        self.conv0 = Convolution(inside, out, 3, resample)
        self.affine = linear(embedding, out)
        self.norm1 = norm(out)
        self.dropout = dropout
        self.conv1 = Convolution(out, out, 3, scale=ENDING)
        self.skip = Convolution(inside, out, 1, resample) if inside != out or resample else None
        self.attention = attention
        if attention:
            self.norm2 = norm(out)
            self.qkv = Convolution(out, 3 * out, 1, scale=math.sqrt(0.2))
            self.proj = Convolution(out, out, 1, scale=ENDING)

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        """See the class."""
        h = self.conv0(F.silu(self.norm0(x)))
        h = h + self.affine(emb)[:, :, None, None]
        h = F.dropout(F.silu(self.norm1(h)), self.dropout, self.training)
        h = (self.conv1(h) + (x if self.skip is None else self.skip(x))) * SHARE
        return (self.proj(self._attended(h)) + h) * SHARE if self.attention else h

    def _attended(self, h: Tensor) -> Tensor:
        """One head over all pixels; EDM's files interleave query, key and value: the triple is the innermost index."""
        size, channels, height, width = h.shape
        triple = self.qkv(self.norm2(h)).reshape(size, channels, 3, height * width)
        query, key, value = triple.permute(2, 0, 3, 1)  # [B, HW, C] each
        return F.scaled_dot_product_attention(query, key, value).mT.reshape(h.shape)


def _initialised(layer: Layer, scale: float) -> Layer:
    nn.init.xavier_uniform_(layer.weight)
    with torch.no_grad():
        layer.weight *= scale
        if layer.bias is not None:
            layer.bias.zero_()
    return layer
