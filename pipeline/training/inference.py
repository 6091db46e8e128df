"""Predictions of the evaluated model on the test set, each image exactly once on any number of ranks."""

from collections.abc import Iterator
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pipeline.distributed import Ranks, all_gather
from pipeline.models.numerics import Numerics


class Images(Protocol):
    """Images to predict, such as CentralCrops: batches of this rank's ``slices[rank]``, uint8 [b, 3, S, S]."""

    slices: list[NDArray[np.int64]]

    def batches(self) -> Iterator[Tensor]:
        """In order."""
        ...


@torch.inference_mode()
def predict(model: nn.Module, test: Images, numerics: Numerics, ranks: Ranks) -> NDArray[np.float32]:
    """Logits [N, C] float32 in test order, on every rank.

    Always in float32 (float64 if trained so) without autocast or TF32, whatever precision trained: half-precision
    logits round confidences.
    """
    model.eval()
    head, largest = model.head, max(len(s) for s in test.slices)
    assert isinstance(head, nn.Linear)
    mine = torch.zeros(largest, head.out_features, device=ranks.device)
    done = 0
    with torch.backends.cudnn.flags(enabled=True, benchmark=True, allow_tf32=False):
        for images in test.batches():
            logits = _logits(model, images, numerics)
            mine[done : done + len(logits)] = logits
            done += len(logits)
    everyone = all_gather(mine).cpu().numpy().reshape(ranks.world, largest, head.out_features)
    return np.concatenate([part[: len(s)] for part, s in zip(everyone, test.slices, strict=True)])


def _logits(model: nn.Module, images: Tensor, numerics: Numerics) -> Tensor:
    return model(numerics.normalise(images.to(numerics.device, non_blocking=True)))[0].float()
