"""The network on several ranks: DDP, whose gradients are those of the global batch."""

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from pipeline.distributed import Ranks
from pipeline.models.numerics import Numerics

# Newer torch has a new name for it and warns at the old one.
_DDP_OPTIONS = inspect.signature(DistributedDataParallel.__init__).parameters
_SYNC = next(name for name in ("forward_sync_buffers", "broadcast_buffers") if name in _DDP_OPTIONS)
NO_BUFFER_SYNC: dict[str, Any] = {_SYNC: False}


def data_parallel(model: nn.Module, image_size: int, numerics: Numerics, ranks: Ranks) -> nn.Module:
    """A classifier of images of ``image_size`` pixels, as ``settled``. Collective."""

    def first_pass(ddp: nn.Module) -> Tensor:
        images = torch.zeros(2, 3, image_size, image_size, dtype=numerics.dtype, device=ranks.device)
        with numerics.autocast():
            logits, _ = ddp(images.contiguous(memory_format=torch.channels_last))
        assert isinstance(logits, Tensor)
        return logits

    return settled(model, first_pass, ranks)


def settled(model: nn.Module, first_pass: Callable[[nn.Module], Tensor], ranks: Ranks) -> nn.Module:
    """``model`` on one rank; else DDP around it, its gradient buckets settled by an output of it. Collective.

    DDP orders its buckets anew after the first backward; a resumed run would do so at another step and, from three
    ranks on, add in another order. So the first backward is one of zeros, here, that leaves no trace. Buffers are not
    DDP's business: those of batch norm are the same on all ranks by themselves.
    """
    if ranks.world == 1:
        return model
    before = [b.clone() for b in model.buffers()]
    ddp = DistributedDataParallel(model, **NO_BUFFER_SYNC)
    (first_pass(ddp).sum() * 0).backward()
    for buffer, saved in zip(model.buffers(), before, strict=True):
        buffer.copy_(saved)
    model.zero_grad()
    return ddp
