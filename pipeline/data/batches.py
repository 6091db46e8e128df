"""Training batches and test images: which images, cut and augmented, on their way to the device.

One read of the beton a step holds the rank's labelled and unlabelled images; the weak and the strong view of an image
come from one decode, cut by our keyed numba kernels (FFCV's own augmentations cannot be reproduced).
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from pipeline.augment import kernels
from pipeline.augment.kernels import Augmentation
from pipeline.config.options import AugmentConfig
from pipeline.data.beton_reader import BetonReader, Ints, Pixels
from pipeline.data.dataset import Dataset
from pipeline.data.streams import Order
from pipeline.randomness import LABELLED, UNLABELLED

CHUNK = 256  # steps whose order is drawn at once


class Views(NamedTuple):
    """One step's images of this rank: uint8 [b, 3, S, S] in channels_last."""

    labelled: Tensor  # [L / W, 3, S, S] weak views
    weak: Tensor  # [U / W, 3, S, S]; U is 0 in supervised training
    strong: Tensor  # [U / W, 3, S, S] of the same images


@dataclass(frozen=True, slots=True)
class Batch:
    """One step's images on the host, and who they are."""

    step: int
    views: Views
    labelled_index: Ints  # [L] positions in train.beton, of the GLOBAL batch
    labelled_visit: Ints  # [L]
    unlabelled_index: Ints  # [U / W]
    unlabelled_visit: Ints  # [U / W]
    rows: Ints = field(default_factory=lambda: np.empty(0, np.int64))  # [U / W] in this rank's part of a table


NO_VIEWS = Views(*[torch.empty(0, dtype=torch.uint8)] * 3)


def augmentation(dataset: Dataset, config: AugmentConfig) -> Augmentation:
    """What ``config`` and the way the images are stored amount to: photos are stored larger than they are used."""
    crop = config.strong_crop or ("resized" if dataset.stored_size > dataset.image_size else "window")
    return Augmentation(
        dataset.crop_padding, dataset.flip, config.operations, config.space == "google", crop == "resized"
    )


class TrainImages:
    """The rank's batches from any step on: a function of (seed, step) alone."""

    def __init__(
        self,
        dataset: Dataset,
        order: Order,
        batches: tuple[int, int],
        rank: int,
        world: int,
        seed: int,
        config: AugmentConfig,
        threads: int,
    ) -> None:
        self.size, self.order, self.seed, self.how = dataset.image_size, order, seed, augmentation(dataset, config)
        each = batches[0] // world
        self.mine = slice(rank * each, (rank + 1) * each)
        self.coming: deque[Batch] = deque()  # being decoded, their views still to be cut
        size = (batches[0] + batches[1]) // world
        self.reader = BetonReader(str(dataset.train_beton), size, threads, self._views)

    def batches(self, first_step: int, steps: int) -> Iterator[Batch]:
        """The batches of steps [first_step, steps). One such loop at a time."""
        self.coming = deque()
        yield from self.reader.read(self._indices(first_step, steps, self.coming))

    def _indices(self, first_step: int, steps: int, coming: deque[Batch]) -> Iterator[Ints]:
        """Runs in the reading thread, so that the order costs the loop nothing."""
        for start in range(first_step, steps, CHUNK):
            for i, row in enumerate(zip(*self.order.draw(start, min(CHUNK, steps - start)), strict=True)):
                batch = Batch(start + i, NO_VIEWS, *row)
                coming.append(batch)
                yield np.concatenate([batch.labelled_index[self.mine], batch.unlabelled_index])

    def _views(self, decoded: Pixels, indices: Ints) -> Batch:
        """Batches are decoded one after the other, so the next of ``coming`` is this one."""
        batch = self.coming.popleft()
        index, visit = batch.labelled_index[self.mine], batch.labelled_visit[self.mine]
        num = len(index)
        assert np.array_equal(indices[num:], batch.unlabelled_index), "two loops over the same TrainImages"
        labelled, weak, strong = (_host_images(n, self.size) for n in (num, *[len(indices) - num] * 2))
        kernels.weak_views(decoded[:num], index, visit, self.seed, LABELLED, self.how, labelled.numpy())
        index, visit = batch.unlabelled_index, batch.unlabelled_visit
        views = weak.numpy(), strong.numpy()
        if len(index):
            kernels.weak_and_strong_views(decoded[num:], index, visit, self.seed, UNLABELLED, self.how, *views)
        return replace(batch, views=Views(*(x.permute(0, 3, 1, 2) for x in (labelled, weak, strong))))


def _host_images(num: int, size: int) -> Tensor:
    """uint8 [num, S, S, 3], uninitialised; pinned for CUDA, so that its copy to the device is asynchronous."""
    return torch.empty(num, size, size, 3, dtype=torch.uint8, pin_memory=torch.cuda.is_available())
