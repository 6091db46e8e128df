"""Streams of images as evaluation sees them, from files or from the pool of a run, in batches that can be resumed."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dataprep.workers import WorkerPool
from pipeline.augment import kernels
from pipeline.calibration.sums import Ints
from pipeline.data.source_files import source_files
from pipeline.prediction.decoding import AT_ONCE, decode_some, recipe_of_test_images
from pipeline.prediction.listing import Listed
from pipeline.report.restore import Restored


@dataclass(frozen=True)
class Batch:
    """`images` uint8 [b, 3, S, S] in channels_last, their `positions` [b] among all and their `names`.

    `rejected`: (name, reason) of those that could not be read since the batch before. `done`: images dealt with so far.
    """

    images: Tensor
    positions: Ints
    names: list[str]
    rejected: list[tuple[str, str]]
    done: int


class Source(Protocol):
    """`total` images; the batches do not depend on where reading started, as long as it did after a whole batch."""

    total: int

    def batches(self, done: int) -> Iterator[Batch]:
        """In order, without the first `done` images. OSError or WorkerDied where reading as a whole fails."""
        ...


class FileImages:
    """Files and members of archives, decoded by `workers` and cropped as test images are."""

    def __init__(self, listed: Listed, network: Restored, batch_size: int, workers: WorkerPool) -> None:
        dataset = network.dataset
        self.listed, self.batch_size, self.workers, self.size = listed, batch_size, workers, dataset.image_size
        self.recipe = recipe_of_test_images(dataset.stored_size)
        self.total = len(listed.entries)

    def batches(self, done: int) -> Iterator[Batch]:
        """Every batch but the last holds `batch_size` images that could be read, as in a beton of these images."""
        filling = _Filling(self.batch_size, self.size)
        names = self.listed.names(done)
        for decoded in self.workers.map_in_order(decode_some, self._tasks(done), 2 * self._tasks_of_a_batch()):
            read = iter(decoded.pixels)
            for number in range(len(decoded.pixels) + len(decoded.reasons)):
                name, done = next(names), done + 1
                if number in decoded.reasons:
                    filling.rejected.append((name, decoded.reasons[number]))
                    continue
                filling.add(next(read), name, done - 1)
                if len(filling.names) == self.batch_size:
                    yield filling.batch(done)
                    filling = _Filling(self.batch_size, self.size)
        if filling.names or filling.rejected:
            yield filling.batch(done)

    def _tasks(self, done: int) -> Iterator[tuple[object, ...]]:
        entries = self.listed.entries
        for start in range(done, self.total, AT_ONCE):
            yield self.listed.reader, self.recipe, list(entries[start : start + AT_ONCE])

    def _tasks_of_a_batch(self) -> int:
        """So many tasks have to be ahead for the workers to go on while the network has a batch."""
        return max(self.workers.number, -(-self.batch_size // AT_ONCE))


@dataclass
class _Filling:
    """A batch under way."""

    size: int
    side: int
    names: list[str] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    rejected: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        shape = self.size, self.side, self.side, 3
        self.images = torch.empty(shape, dtype=torch.uint8, pin_memory=torch.cuda.is_available())
        self.pixels: NDArray[np.uint8] = self.images.numpy()

    def add(self, pixels: NDArray[np.uint8], name: str, position: int) -> None:
        at = len(self.names)
        kernels.center_crop(pixels[None], self.pixels[at : at + 1])
        self.names.append(name)
        self.positions.append(position)

    def batch(self, done: int) -> Batch:
        images = self.images[: len(self.names)].permute(0, 3, 1, 2)
        return Batch(images, np.array(self.positions, np.int64), self.names, self.rejected, done)


class PoolImages:
    """The unlabelled images that a run was trained on, in the order of its train.beton.

    Validation images are none of them, also where they were drawn with them: their labels are known. ValueError where
    the run was trained on labelled images alone.
    """

    def __init__(self, network: Restored) -> None:
        self.network, dataset = network, network.dataset
        known = dataset.not_unlabelled(include_labelled=False)
        self.index: Ints = np.setdiff1d(np.arange(dataset.num_train), known)
        if not network.config.unlabelled_batch or not len(self.index):
            raise ValueError("--pool: the run was trained without unlabelled images; name files or folders instead")
        self.files = source_files(dataset.folder, "train")
        self.total = len(self.index)

    def batches(self, done: int) -> Iterator[Batch]:
        """Images of a beton can all be read."""
        index = self.index[done:]
        for images in self.network.crops(self.network.dataset.train_beton, index).batches():
            some = self.index[done : done + len(images)]
            positions = np.arange(done, done + len(images))
            done += len(images)
            yield Batch(images, positions, [self._name(int(i)) for i in some], [], done)

    def _name(self, index: int) -> str:
        """The file in the source; of folders that do not tell, the place in the beton."""
        return self.files[index] if self.files else f"train/{index:06d}"
