"""Batches of decoded images out of a beton, through FFCV, without its traps.

FFCV reuses its buffers, leaks its thread where a loop is left early, gives no batch at all where indices do not fill
one, and hangs where its thread meets an error. None of it gets out of this file: what a caller receives was made into
memory of its own, every index is read, closing ends the thread, and an error is raised where the batch was awaited.

FFCV offers no cache for what it compiles: each process compiles its decoder at the first batch (about a second).
The kernels of augment.py, twenty seconds of compilation, are kept on disk by numba.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import takewhile
from pathlib import Path
from queue import Empty
from typing import Any

import numba
import numpy as np
import torch
from numpy.typing import NDArray

from pipeline import devices
from pipeline.data.dataset import open_beton
from pipeline.data.ffcv_start import (
    AllocationQuery,
    EpochIterator,
    Loader,
    Operation,
    OrderOption,
    SimpleRGBImageDecoder,
    State,
)

Ints = NDArray[np.int64]
Pixels = NDArray[np.uint8]


class Stage(Operation):
    """Last stage of a pipeline: hands the decoded uint8 [B, S0, S0, 3] and the indices to ``make``.

    It runs as Python, outside FFCV's fastmath, and needs no buffer of FFCV's. (A Python stage between two compiled
    ones would hang FFCV's constructor.)
    """

    def __init__(self, make: Callable[[Pixels, Ints], Any]) -> None:
        super().__init__()
        self.make = make

    def declare_state_and_memory(self, previous_state: State) -> tuple[State, AllocationQuery | None]:
        """FFCV's question before it compiles."""
        return replace(previous_state, jit_mode=False), None

    def generate_code(self) -> Callable[..., Any]:
        """FFCV's way to ask for the third argument is an attribute."""

        def run(decoded: Pixels, _: None, indices: Ints) -> Any:
            return self.make(decoded, indices)

        run.with_indices = True  # type: ignore[attr-defined]
        return run


class BatchThread(EpochIterator):
    """FFCV's thread over batches of indices that are drawn as it goes: one thread serves a run of any length."""

    def __init__(self, loader: Loader, batches: Iterator[Ints]) -> None:
        self.drawn, self.start_on_device = batches, devices.for_threads()  # first: the base class starts the thread
        super().__init__(loader, [])

    def run(self) -> None:
        """FFCV's own loop, which by itself would go on to the last batch after a close. An error becomes a result.

        It switches to CUDA streams of its own for each batch, and back to that of the device that it started on.
        """
        self.start_on_device()
        self.iter_ixes = takewhile(lambda _: not self.terminate_event.is_set(), self.drawn)
        try:
            super().run()
        except Exception as error:
            self.output_queue.put((0, [error]))

    def result(self) -> Any:
        """The next of the last stage's results; None after the last."""
        while True:
            try:
                item = self.output_queue.get(timeout=5)
            except Empty:
                if not self.is_alive():
                    raise RuntimeError(f"reading {self.loader.fname} ended without a word") from None
                continue
            if item is not None and isinstance(item[1][0], Exception):
                raise item[1][0]
            return item and item[1][0]

    def end(self) -> None:
        """Close, and wait for the thread, which may stand before a full queue."""
        self.close()
        while self.is_alive():
            try:
                self.output_queue.get(timeout=0.05)
            except Empty:
                continue
        self.join()


class BetonReader:
    """A beton opened for reading batches of at most ``batch_size`` images in any order of indices, many times.

    ``make`` turns decoded images uint8 [B, S0, S0, 3] and their indices int64 [B] into the batch. It must not keep the
    images: FFCV overwrites them. It is called for one batch after the other, in the order of the batches.
    ``fields``: the beton's fields of integers; ``numbers`` has what stands in them, int64 [N] each.
    Raises ValueError for a file that is no whole beton of ours.
    """

    def __init__(
        self,
        path: str,
        batch_size: int,
        threads: int,
        make: Callable[[Pixels, Ints], Any],
        fields: tuple[str, ...] = ("label",),
    ) -> None:
        metadata = open_beton(Path(path), fields).metadata
        self.num = len(metadata)
        self.numbers: dict[str, Ints] = {f: metadata[f"f{i}"].astype(np.int64) for i, f in enumerate(fields, 1)}
        disabled = dict.fromkeys((*fields, "index"))
        pipelines = {"image": [SimpleRGBImageDecoder(), Stage(make)], **disabled}
        torch_threads = torch.get_num_threads()
        workers = min(threads, numba.config.NUMBA_NUM_THREADS)  # type: ignore[attr-defined]  # numba refuses more
        self.loader = Loader(
            path, batch_size, workers, os_cache=True, order=OrderOption.SEQUENTIAL, drop_last=False, pipelines=pipelines
        )
        torch.set_num_threads(torch_threads)  # FFCV sets torch's too
        _slim(self.loader)

    @property
    def labels(self) -> Ints:
        """Int64 [N], of a beton that has them."""
        return self.numbers["label"]

    def read(self, batches: Iterable[Ints]) -> Iterator[Any]:
        """What ``make`` returns for each of ``batches``, a few ahead of the consumer. Leaving early ends the thread.

        ``batches`` is iterated in the reading thread. Raises ValueError for an index that the file does not have.
        """
        thread = BatchThread(self.loader, (self._checked(batch) for batch in batches))
        try:
            while (result := thread.result()) is not None:
                yield result
        finally:
            thread.end()

    def _checked(self, indices: Ints) -> Ints:
        """Compiled code would read past the end of the table, and FFCV's buffers hold one batch."""
        num = self.num
        assert 0 < len(indices) <= self.loader.batch_size, len(indices)
        wrong = indices[(indices < 0) | (indices >= num)]
        if len(wrong):
            raise ValueError(f"{self.loader.fname}: has images 0 to {num - 1}, not {wrong[0]}; make the folder again")
        return indices


def _slim(loader: Loader) -> None:
    """Empty the tables of Python objects that FFCV makes for caches of other kinds: 0.6 GB a rank for ImageNet."""
    manager = loader.memory_manager
    for table in (manager.ptr_to_size, manager.sample_to_pages, manager.page_to_samples):
        table.clear()


def cut(indices: Ints, size: int) -> Iterator[Ints]:
    """Consecutive batches of ``size``; the last may be smaller."""
    return (indices[i : i + size] for i in range(0, len(indices), size))
