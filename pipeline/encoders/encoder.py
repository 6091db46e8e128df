"""A network that turns images into features, and what a reader has to know of it."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn


@dataclass(frozen=True)
class Encoder:
    """``model`` answers normalised images [B, 3, S, S], S = ``side`` pixels, with (logits [B, K], features [B, D]).

    Without a head (``has_head``) it answers with (features,). ``normalise``: from uint8 images. ``positions``: in
    train.beton, of the labelled images that it was trained on, sorted; None where they are not known.
    """

    name: str
    sha256: str
    model: nn.Module
    normalise: Callable[[Tensor], Tensor]
    device: torch.device
    side: int
    has_head: bool
    positions: NDArray[np.int64] | None


def tensors_sha256(tensors: Mapping[str, Tensor]) -> str:
    """sha256 of names, dtypes, shapes and values, in the order of the names."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        values = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name}\t{values.dtype}\t{list(values.shape)}\n".encode())
        digest.update(values.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
