"""Hidden activations mixed with those of other images, which may live on other ranks; gradients find their way back.

Ranks gather each other's activations, and in the backward pass each other's gradients: two collectives of one shape,
nothing is added up, and every image counts once in the statistics of batch norm.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from pipeline.distributed import gather_in_group


class Partners(NamedTuple):
    """Who meets whom, for b of the n images of a pool of ranks: a permutation and its inverse, at these images."""

    forth: Tensor  # [b] int64: the place of each one's partner
    back: Tensor  # [b] int64: the place of the one whose partner it is
    group: str  # of the ranks that the pool spans
    world: int  # how many they are, each with b images in a row


def mixed_rows(activations: Tensor, *, share: Tensor, partners: Partners) -> Tensor:
    """share x own + (1 - share) x partner's: [b, ...] and ``share`` [b] -> [b, ...] of the same dtype and layout."""
    part = share.reshape(-1, *[1] * (activations.ndim - 1))
    others = _in_memory_order(activations, lambda rows: _Exchange.apply(rows, *partners))
    return (part * activations + (1 - part) * others).to(activations.dtype)


def _in_memory_order(activations: Tensor, exchange: Any) -> Tensor:
    """``exchange`` on contiguous rows, whether channels come second or last in memory."""
    if activations.ndim == 4 and activations.is_contiguous(memory_format=torch.channels_last):
        others: Tensor = exchange(activations.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return others
    return exchange(activations.contiguous())  # type: ignore[no-any-return]


class _Exchange(torch.autograd.Function):
    """[b, ...] of each rank -> the partners' rows [b, ...]; a gradient goes back to the row it came from."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, forth: Tensor, back: Tensor, group: str, world: int) -> Tensor:
        ctx.save_for_backward(back)
        ctx.ranks = group, world
        return _everyones(rows, group, world).index_select(0, forth)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        (back,) = ctx.saved_tensors
        return _everyones(grad.contiguous(), *ctx.ranks).index_select(0, back), None, None, None, None


def _everyones(rows: Tensor, group: str, world: int) -> Tensor:
    """[b, ...] of each rank -> [W b, ...], in rank order."""
    return gather_in_group(rows, group, world).view(-1, *rows.shape[1:]) if world > 1 else rows
