"""Test images on their walk out of the convex hull, for a network to predict; hull_walk.py says what that is."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from pipeline.data.beton_reader import Pixels
from pipeline.data.central_crops import CentralCrops
from pipeline.report.hull_walk import MU, direction


class WalkImages:
    """float32 [b, 3, S, S] from 0 to 255 (and beyond): each of the `crops` at every mu, an image's together."""

    def __init__(self, crops: CentralCrops, batch_size: int, seed: int) -> None:
        self.crops, self.seed = crops, seed
        self.each = max(1, batch_size // len(MU))  # images at a time
        self.slices = [np.arange(len(crops.indices) * len(MU))]

    def batches(self) -> Iterator[Tensor]:
        """The same images at every call."""
        done = 0
        for images in self.crops.batches():
            for some in images.split(self.each):
                yield torch.from_numpy(np.concatenate([self._walk(x, done + i) for i, x in enumerate(some.numpy())]))
                done += len(some)

    def _walk(self, image: Pixels, index: int) -> np.ndarray:
        """[len(MU), 3, S, S] of an image [3, S, S]."""
        away = 255 * direction(self.seed, index, image.size).reshape(image.shape)
        return (image + np.multiply.outer(MU, away)).astype(np.float32)
