"""Training batches: which images, cut and augmented, on their way to the device.

A batch has named parts (labelled, unlabelled ...), each with its own order and its own beton. Parts of one beton are
read together, one decode a step, and the weak and the strong view of an image come from one decode, cut by our keyed
numba kernels (FFCV's own augmentations cannot be reproduced).
"""

from collections import deque
from collections.abc import Generator, Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pipeline.augment import kernels
from pipeline.augment.kernels import Augmentation
from pipeline.config import Config
from pipeline.config.sections import AugmentConfig
from pipeline.data.beton_reader import BetonReader, Ints, Pixels
from pipeline.data.dataset import Dataset
from pipeline.data.streams import Order, PartOrder, VirtualShards, labelled_order, unlabelled_order
from pipeline.randomness import LABELLED, UNLABELLED

Drawn = tuple[Ints, Ints, Ints]  # index, visit, rows of a part at one step
CHUNK = 256  # steps whose order is drawn at once


@dataclass(frozen=True, slots=True)
class PartSource:
    """Where a part of the batch comes from: its beton, its order, the stream of its random draws, its views."""

    beton: Path
    order: Order
    draws: int  # of randomness.py: LABELLED, UNLABELLED ...
    strong: bool  # a strong view too
    fields: tuple[str, ...] = ("label",)  # of the beton, integers between image and index


@dataclass(frozen=True, slots=True)
class HostPart:
    """One part of a step's batch in host memory; n images are drawn, b of them are this rank's."""

    index: Ints  # [n] indices in the part's beton
    visit: Ints  # [n]
    rows: Ints  # [n] rows in the part's tables
    weak: Tensor  # uint8 [b, 3, S, S] in channels_last
    strong: Tensor | None  # uint8 [b, 3, S, S] of the same images


@dataclass(frozen=True, slots=True)
class Batch:
    """One step's batch in host memory, by part."""

    step: int
    parts: Mapping[str, HostPart]


def part_sources(
    config: Config, dataset: Dataset, shards: VirtualShards, rank: int = 0, world: int = 1
) -> dict[str, PartSource]:
    """The parts that semi-supervised training learns from: weak labelled, weak and strong unlabelled views."""
    who = config.seed, rank, world
    left_out = dataset.left_out_of(config)
    labelled = labelled_part_order(config, dataset, shards, rank, world)
    unlabelled = unlabelled_order(left_out, shards, config.unlabelled_batch, *who)
    return {
        "labelled": PartSource(dataset.train_beton, labelled, LABELLED, strong=False),
        "unlabelled": PartSource(dataset.train_beton, unlabelled, UNLABELLED, strong=True),
    }


def labelled_part_order(config: Config, dataset: Dataset, shards: VirtualShards, rank: int, world: int) -> PartOrder:
    """The order of the labelled part. Streams remember permutations, so that each reading thread has its own."""
    who = config.seed, rank, world
    return labelled_order(dataset.split, shards, config.batch.labelled, *who, sharded=config.labels == "all")


def augmentation(dataset: Dataset, config: AugmentConfig) -> Augmentation:
    """What ``config`` and the way the images are stored amount to: photos are stored larger than they are used."""
    crop = config.strong_crop or ("resized" if dataset.stored_size > dataset.image_size else "window")
    return Augmentation(
        dataset.crop_padding, dataset.flip, config.operations, config.space == "google", crop == "resized"
    )


class TrainImages:
    """This rank's batches from any step on: a function of (seed, step) alone. ``size``: pixels of a view's side."""

    def __init__(
        self, sources: Mapping[str, PartSource], size: int, how: Augmentation, seed: int, threads: int
    ) -> None:
        betons = dict.fromkeys(source.beton for source in sources.values())
        self.files = [
            BetonParts(
                {name: source for name, source in sources.items() if source.beton == beton}, size, how, seed, threads
            )
            for beton in betons
        ]

    def batches(self, first_step: int, steps: int) -> Iterator[Batch]:
        """The batches of steps [first_step, steps). One such loop at a time."""
        with ExitStack() as stack:
            readers = [stack.enter_context(closing(file.batches(first_step, steps))) for file in self.files]
            for batches in zip(*readers, strict=True):
                parts = {name: part for batch in batches for name, part in batch.parts.items()}
                yield Batch(batches[0].step, parts)


class BetonParts:
    """The parts of the batch that lie in one beton, read by one thread."""

    def __init__(
        self, sources: Mapping[str, PartSource], size: int, how: Augmentation, seed: int, threads: int
    ) -> None:
        self.sources, self.size, self.how, self.seed = sources, size, how, seed
        self.coming = deque[tuple[int, list[Drawn]]]()  # being decoded, their views still to be cut
        ((beton, fields),) = {(source.beton, source.fields) for source in sources.values()}
        total = sum(source.order.size for source in sources.values())
        self.reader = BetonReader(str(beton), total, threads, self._cut, fields)

    def batches(self, first_step: int, steps: int) -> Generator[Batch, None, None]:
        """As TrainImages', of these parts."""
        self.coming = deque()
        yield from self.reader.read(self._indices(first_step, steps, self.coming))

    def _indices(self, first_step: int, steps: int, coming: deque[tuple[int, list[Drawn]]]) -> Iterator[Ints]:
        """Runs in the reading thread, so that the order costs the loop nothing."""
        orders = [source.order for source in self.sources.values()]
        for start in range(first_step, steps, CHUNK):
            count = min(CHUNK, steps - start)
            drawn = [order.draw(start, count) for order in orders]
            rows = [order.rows_of(index) for order, (index, _) in zip(orders, drawn, strict=True)]
            for i in range(count):
                each = [(index[i], visit[i], row[i]) for (index, visit), row in zip(drawn, rows, strict=True)]
                coming.append((start + i, each))
                yield np.concatenate([index[order.mine] for order, (index, *_) in zip(orders, each, strict=True)])

    def _cut(self, decoded: Pixels, indices: Ints) -> Batch:
        """Batches are decoded one after the other, so the next of ``coming`` is this one."""
        step, drawn = self.coming.popleft()
        parts, start = {}, 0
        for (name, source), (index, visit, rows) in zip(self.sources.items(), drawn, strict=True):
            own, end = index[source.order.mine], start + source.order.size
            assert np.array_equal(indices[start:end], own), "two loops over the same TrainImages"
            weak, strong = self._views(source, decoded[start:end], own, visit[source.order.mine])
            parts[name] = HostPart(index, visit, rows, weak, strong)
            start = end
        return Batch(step, parts)

    def _views(self, source: PartSource, decoded: Pixels, index: Ints, visit: Ints) -> tuple[Tensor, Tensor | None]:
        who = index, visit, self.seed, source.draws, self.how
        weak = _host_images(len(index), self.size)
        if not source.strong:
            kernels.weak_views(decoded, *who, weak.numpy())
            return weak.permute(0, 3, 1, 2), None
        strong = _host_images(len(index), self.size)
        if len(index):
            kernels.weak_and_strong_views(decoded, *who, weak.numpy(), strong.numpy())
        return weak.permute(0, 3, 1, 2), strong.permute(0, 3, 1, 2)


def _host_images(num: int, size: int) -> Tensor:
    """uint8 [num, S, S, 3], uninitialised; pinned for CUDA, so that its copy to the device is asynchronous."""
    return torch.empty(num, size, size, 3, dtype=torch.uint8, pin_memory=torch.cuda.is_available())
