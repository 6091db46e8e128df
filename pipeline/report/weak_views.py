"""Weak views of images that are evaluated, drawn as those of training are: what --tta averages over."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pipeline.augment import kernels
from pipeline.augment.kernels import Augmentation
from pipeline.data.beton_reader import BetonReader, Ints, Pixels, cut
from pipeline.randomness import EVALUATED


class WeakViews:
    """One weak view of `size` pixels of each image of a beton, all or those at `indices`.

    Crop and flip are a function of (`seed`, index in the beton, `visit`), whatever other images are read with it.
    """

    def __init__(
        self,
        beton: Path,
        size: int,
        how: Augmentation,
        batch_size: int,
        threads: int,
        *,
        indices: Ints | None,
        seed: int,
        visit: int,
    ) -> None:
        self.size, self.how, self.batch_size, self.seed, self.visit = size, how, batch_size, seed, visit
        self.reader = BetonReader(str(beton), batch_size, threads, self._views)
        self.indices = np.arange(self.reader.num) if indices is None else indices
        self.slices = [np.arange(len(self.indices))]

    def batches(self) -> Iterator[Tensor]:
        """In order: uint8 [b, 3, S, S], channels_last."""
        yield from self.reader.read(cut(self.indices, self.batch_size))

    def _views(self, decoded: Pixels, indices: Ints) -> Tensor:
        out = torch.empty(len(decoded), self.size, self.size, 3, dtype=torch.uint8)
        visits = np.full(len(indices), self.visit, dtype=np.int64)
        kernels.weak_views(decoded, indices, visits, self.seed, EVALUATED, self.how, out.numpy())
        return out.permute(0, 3, 1, 2)
