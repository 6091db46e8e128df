"""FFCV streams of training batches and test images.

One FFCV batch a step holds the rank's labelled and unlabelled images; a Python stage behind the decoder cuts the
weak and strong views with our keyed numba kernels (FFCV's own augmentations cannot be reproduced). The stage
writes into tensors of its own, so a batch stays valid for as long as it is kept.
"""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from queue import Empty
from typing import Any, NamedTuple

import numba
import numpy as np
import torch
from ffcv.fields.decoders import SimpleRGBImageDecoder
from ffcv.loader import Loader, OrderOption
from ffcv.loader.epoch_iterator import EpochIterator
from ffcv.pipeline.allocation_query import AllocationQuery
from ffcv.pipeline.operation import Operation
from ffcv.pipeline.state import State
from numpy.typing import NDArray
from torch import Tensor

from pipeline import augment
from pipeline.dataset import Dataset
from pipeline.randomness import LABELLED, UNLABELLED
from pipeline.streams import Order

Ints = NDArray[np.int64]
CHUNK = 256  # steps whose order is drawn at once; FFCV starts a thread for each chunk


class Views(NamedTuple):
    """One step's images of this rank: uint8 [b, 3, S, S] in channels_last."""

    labelled: Tensor  # [L / W, 3, S, S] weak views
    weak: Tensor  # [U / W, 3, S, S]
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


NO_VIEWS = Views(*[torch.empty(0, dtype=torch.uint8)] * 3)


class Stage(Operation):
    """Last stage of a pipeline: hands the decoded uint8 [B, S0, S0, 3] and the indices to ``make``."""

    def __init__(self, make: Callable[[NDArray[np.uint8], Ints], Any]) -> None:
        super().__init__()
        self.make = make

    def declare_state_and_memory(self, previous_state: State) -> tuple[State, AllocationQuery | None]:
        """Runs as Python, outside FFCV's fastmath, and needs no buffer of FFCV's."""
        return replace(previous_state, jit_mode=False), None

    def generate_code(self) -> Callable[..., Any]:
        """An exception travels to the consumer as a result: in FFCV's thread it would hang the run."""

        def run(decoded: NDArray[np.uint8], _: None, indices: Ints) -> Any:
            try:
                return self.make(decoded, indices)
            except Exception as error:
                return error

        run.with_indices = True  # type: ignore[attr-defined]  # FFCV's way to ask for the third argument
        return run


class Images:
    """A beton opened for reading images in any order of indices, many times."""

    def __init__(self, path: str, batch_size: int, threads: int, make: Callable[..., Any]) -> None:
        disabled = {"label": None, "index": None}
        pipelines = {"image": [SimpleRGBImageDecoder(), Stage(make)], **disabled}
        torch_threads = torch.get_num_threads()
        workers = min(threads, numba.config.NUMBA_NUM_THREADS)  # type: ignore[attr-defined]  # numba refuses more
        self.loader = Loader(
            path, batch_size, workers, os_cache=True, order=OrderOption.SEQUENTIAL, drop_last=False, pipelines=pipelines
        )
        torch.set_num_threads(torch_threads)  # FFCV sets torch's too
        self.labels: Ints = self.loader.reader.metadata["f1"].astype(np.int64)

    def read(self, indices: Ints) -> Iterator[Any]:
        """What ``make`` returns for each batch of ``indices``, prefetched. Leaving early ends the thread."""
        thread = EpochIterator(self.loader, indices)
        try:
            for _ in range(0, len(indices), self.loader.batch_size):
                yield _next_result(thread)
        finally:
            _close(thread)


def _next_result(thread: EpochIterator) -> Any:
    while True:
        try:
            item = thread.output_queue.get(timeout=5)
        except Empty:
            if not thread.is_alive():
                raise RuntimeError(f"reading {thread.loader.fname} failed; FFCV's message is above") from None
            continue
        result = item[1][0]
        if isinstance(result, Exception):
            raise result
        return result


def _close(thread: EpochIterator) -> None:
    """FFCV leaks its thread where an iterator is left early: it stays blocked on a full queue."""
    thread.close()
    while thread.is_alive():
        try:
            thread.output_queue.get(timeout=0.05)
        except Empty:
            continue
    thread.join()


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
        operations: int,
        threads: int,
    ) -> None:
        self.dataset, self.order, self.seed, self.operations = dataset, order, seed, operations
        each = batches[0] // world
        self.mine = slice(rank * each, (rank + 1) * each)
        self.coming: deque[Batch] = deque()  # decoded next, their views still to be cut
        self.pin = torch.cuda.is_available()
        size = (batches[0] + batches[1]) // world
        self.images = Images(str(dataset.train_beton), size, threads, self._views)

    def batches(self, first_step: int, steps: int) -> Iterator[Batch]:
        """The batches of steps [first_step, steps)."""
        for start in range(first_step, steps, CHUNK):
            draw = self.order.draw(start, min(CHUNK, steps - start))
            self.coming = deque(
                Batch(start + i, NO_VIEWS, *row)
                for i, row in enumerate(
                    zip(draw.labelled, draw.labelled_visit, draw.unlabelled, draw.unlabelled_visit, strict=True)
                )
            )
            everyone = np.concatenate([draw.labelled[:, self.mine], draw.unlabelled], axis=1)
            yield from self.images.read(everyone.reshape(-1))

    def _views(self, decoded: NDArray[np.uint8], indices: Ints) -> Batch:
        """FFCV asks for batches one after the other, so the next of ``coming`` is the one that was decoded."""
        batch = self.coming.popleft()
        index, visit = batch.labelled_index[self.mine], batch.labelled_visit[self.mine]
        num = len(index)
        assert np.array_equal(indices[num:], batch.unlabelled_index)
        labelled, weak, strong = (self._empty(n) for n in (num, *[len(indices) - num] * 2))
        padding, flip = self.dataset.crop_padding, self.dataset.flip
        augment.weak_views(decoded[:num], index, visit, self.seed, LABELLED, padding, flip, labelled.numpy())
        augment.weak_and_strong_views(
            decoded[num:],
            batch.unlabelled_index,
            batch.unlabelled_visit,
            self.seed,
            UNLABELLED,
            padding,
            flip,
            self.operations,
            weak.numpy(),
            strong.numpy(),
        )
        return replace(batch, views=Views(*(x.permute(0, 3, 1, 2) for x in (labelled, weak, strong))))

    def _empty(self, num: int) -> Tensor:
        size = self.dataset.image_size
        return torch.empty(num, size, size, 3, dtype=torch.uint8, pin_memory=self.pin)


class EvalImages:
    """Central crops of every test image, each exactly once, in contiguous slices of the ranks."""

    def __init__(self, dataset: Dataset, batch_size: int, rank: int, world: int, threads: int) -> None:
        self.size = dataset.image_size
        self.images = Images(str(dataset.test_beton), batch_size, threads, self._crop)
        self.labels = self.images.labels
        num = len(self.labels)
        self.slices = [np.arange(r * num // world, (r + 1) * num // world, dtype=np.int64) for r in range(world)]
        self.mine = self.slices[rank]

    def batches(self) -> Iterator[Tensor]:
        """uint8 [b, 3, S, S], channels_last, in file order."""
        yield from self.images.read(self.mine)

    def _crop(self, decoded: NDArray[np.uint8], _: Ints) -> Tensor:
        out = torch.empty(len(decoded), self.size, self.size, 3, dtype=torch.uint8)
        augment.center_crop(decoded, out.numpy())
        return out.permute(0, 3, 1, 2)
