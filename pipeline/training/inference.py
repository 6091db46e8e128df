"""Predictions of the evaluated model on the test set, each image exactly once on any number of ranks."""

from collections.abc import Callable, Iterator
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pipeline.distributed import Ranks, all_gather
from pipeline.models.numerics import Numerics


class Images(Protocol):
    """Images to predict, such as CentralCrops: batches of this rank's ``slices[rank]``, [b, 3, S, S] from 0 to 255."""

    slices: list[NDArray[np.int64]]

    def batches(self) -> Iterator[Tensor]:
        """In order."""
        ...


def predict(model: nn.Module, test: Images, numerics: Numerics, ranks: Ranks) -> NDArray[np.float32]:
    """Logits [N, C] float32 in test order, on every rank.

    Always in float32 (float64 if trained so) without autocast or TF32, whatever precision trained: half-precision
    logits round confidences.
    """
    return _predicted(model, test, numerics, ranks, 1)[0]


def predict_with_features(
    model: nn.Module, test: Images, numerics: Numerics, ranks: Ranks
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """As `predict`: (logits [N, C], the features [N, D] that the head sees)."""
    logits, features = _predicted(model, test, numerics, ranks, 2)
    return logits, features


@torch.inference_mode()
def _predicted(
    model: nn.Module, test: Images, numerics: Numerics, ranks: Ranks, parts: int
) -> list[NDArray[np.float32]]:
    """The first ``parts`` of what the network answers: logits, features."""
    head, largest = model.head, max(len(s) for s in test.slices)
    assert isinstance(head, nn.Linear)
    mine = [torch.zeros(largest, n, device=ranks.device) for n in (head.out_features, head.in_features)[:parts]]
    done = 0
    for answers in answered(model, test, numerics.normalise, numerics.device):
        for whole, part in zip(mine, answers, strict=False):
            whole[done : done + len(part)] = part
        done += len(answers[0])
    return [_in_order(each, test.slices, ranks) for each in mine]


Normalise = Callable[[Tensor], Tensor]  # uint8 [b, 3, S, S] -> floating


def answered(
    model: nn.Module, images: Images, normalise: Normalise, device: torch.device
) -> Iterator[tuple[Tensor, ...]]:
    """What the network answers to each batch of this rank's images, in evaluation mode."""
    model.eval()
    for batch in images.batches():
        yield answer(model, batch, normalise, device)


@torch.inference_mode()
def answer(model: nn.Module, images: Tensor, normalise: Normalise, device: torch.device) -> tuple[Tensor, ...]:
    """Of a network in evaluation mode to one batch [b, 3, S, S], without TF32: logits, features; on its device."""
    with torch.backends.cudnn.flags(enabled=True, benchmark=True, allow_tf32=False):
        answers: tuple[Tensor, ...] = model(normalise(images.to(device, non_blocking=True)))
    return answers


def _in_order(mine: Tensor, slices: list[NDArray[np.int64]], ranks: Ranks) -> NDArray[np.float32]:
    """This rank's rows [largest, K] -> those of all ranks [N, K], without their padding."""
    everyone = all_gather(mine).cpu().numpy().reshape(ranks.world, *mine.shape)
    return np.concatenate([part[: len(s)] for part, s in zip(everyone, slices, strict=True)])
