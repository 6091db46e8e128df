"""Our side of loader.py: our own training loader, and FFCV's own operations as the floor."""

import os
import time
from collections.abc import Callable, Iterator

import contender
import numpy as np
import ours
from ffcv.fields.decoders import RandomResizedCropRGBImageDecoder, SimpleRGBImageDecoder
from ffcv.loader import Loader, OrderOption
from ffcv.pipeline.operation import Operation
from ffcv.reader import Reader
from ffcv.transforms import RandomHorizontalFlip, RandomTranslate, ToTensor, ToTorchImage

UNTIMED = 8  # batches
PADDING = 4  # pixels that FFCV's own crop moves by, as ours
IGNORED: dict[str, None] = {"label": None, "index": None}
EPOCHS = 100  # that FFCV reads without a pause
CORES = len(os.sched_getaffinity(0))
opened: dict[str, Callable[[], Iterator[int]]] = {}


def open_ours(settings: list[str]) -> None:
    """The loader of a training run: order, decoding, both views, hand-over to the device (here the CPU)."""
    run = ours.open_run(settings)

    def uint8() -> Iterator[int]:
        for inputs in run.inputs():
            yield len(inputs.unlabelled.weak)

    def float32() -> Iterator[int]:
        for inputs in run.inputs():
            both = [run.numerics.normalise(views) for views in (inputs.unlabelled.weak, inputs.unlabelled.strong)]
            yield len(both[0])

    opened.update(uint8=uint8, float32=float32)


def open_floor(beton: str, batch: int) -> None:
    """FFCV's flip and translation, without RandAugment, of two views an image: it reads every image twice."""
    view = [SimpleRGBImageDecoder(), RandomHorizontalFlip(), RandomTranslate(PADDING)]
    opened["floor"] = _batches(beton, batch, view, views=2)


def open_decoder(beton: str, batch: int, size: int) -> None:
    """FFCV's decode and random resized crop of one view."""
    opened["decoder"] = _batches(beton, batch, [RandomResizedCropRGBImageDecoder((size, size))], views=1)


def _batches(beton: str, size: int, operations: list[Operation], views: int) -> Callable[[], Iterator[int]]:
    indices = np.tile(np.arange(int(Reader(beton).num_samples)), EPOCHS)
    loader = Loader(
        beton,
        views * size,
        CORES,
        os_cache=True,
        order=OrderOption.RANDOM,
        indices=indices,
        pipelines={"image": [*operations, ToTensor(), ToTorchImage(convert_back_int16=False)]} | IGNORED,
    )

    def read() -> Iterator[int]:
        while True:  # a fast machine comes to the end of the indices
            thread = iter(loader)
            try:
                for (batch,) in thread:
                    yield len(batch) // views
            finally:
                thread.close()
                while thread.is_alive():  # it waits for room in its queue
                    _drain(thread)

    return read


def _drain(thread: object) -> None:
    while not thread.output_queue.empty():  # type: ignore[attr-defined]
        thread.output_queue.get()  # type: ignore[attr-defined]
    time.sleep(0.01)


def rate(name: str, seconds: float) -> float:
    """Images, or pairs of views, a second of what was opened."""
    batches = opened[name]()
    for _ in range(UNTIMED):
        next(batches)
    begin, count = time.perf_counter(), 0
    while (now := time.perf_counter()) < begin + seconds:
        count += next(batches)
    batches.close()  # type: ignore[attr-defined]
    return count / (now - begin)


def dump(beton: str, out: str) -> None:
    """The stored images [N, S, S, 3] and labels [N] as OUT.npz, for the peer."""
    pipelines = {"image": [SimpleRGBImageDecoder()]} | IGNORED
    options = {"order": OrderOption.SEQUENTIAL, "drop_last": False, "pipelines": pipelines}
    loader = Loader(beton, 500, CORES, os_cache=True, indices=np.arange(int(Reader(beton).num_samples)), **options)
    images = np.concatenate([np.array(image) for (image,) in loader])
    np.savez(out, images=images, labels=loader.reader.metadata["f1"].astype(np.int64))


if __name__ == "__main__":
    contender.serve(
        {"open_ours": open_ours, "open_floor": open_floor, "open_decoder": open_decoder, "rate": rate, "dump": dump}
    )
