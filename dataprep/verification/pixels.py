"""Decodes every image of a beton through FFCV's loader. Only for a beton of sound structure: FFCV trusts pointers."""

from collections.abc import Callable
from pathlib import Path

import numba
import numpy as np
from ffcv.fields.decoders import IntDecoder, SimpleRGBImageDecoder
from ffcv.loader import Loader, OrderOption
from ffcv.reader import Reader
from numpy.typing import NDArray

from dataprep.data_folder.manifest import Manifest
from dataprep.images.pixel_sums import PixelSums, channel_statistics
from dataprep.verification.rules import Rules, violated

BATCH = 64
EXACT, CLOSE = 1e-6, 0.02  # tolerance of mean and std of raw and JPEG images: they are taken before compression


def pixel_faults(file: Path, content: Manifest, workers: int, progress: Callable[[int], None]) -> list[str]:
    """Faults that show only when images are decoded. progress(n) is called for every n images."""
    try:
        faults = violated(_rules(file, content, workers, progress))
    except Exception as error:  # nearly any, from code that FFCV compiles
        faults = [f"FFCV cannot decode it ({type(error).__name__}: {error})"]
    return [f"{file.name}: {fault}" for fault in faults]


def _rules(file: Path, content: Manifest, workers: int, progress: Callable[[int], None]) -> Rules:
    side, encoding, counts = content["stored_size"], content["writer"]["encoding"], content["counts"]
    num_images = {"train": counts["train"], "test": counts["test"], "validation": counts.get("validation", 0)}[
        file.stem
    ]
    sums = PixelSums(side)
    yield from decoding_rules(file, encoding, num_images, workers, progress, lambda image: sums.add(image.tobytes()))
    if file.stem == "train":
        mean, std = channel_statistics(sums.totals(), num_images * side**2)
        mean_error = np.abs(np.subtract(mean, content["mean"])).max()
        std_error = np.abs(np.subtract(std, content["std"])).max()
        raw = encoding == "raw"
        yield mean_error <= (EXACT if raw else CLOSE), f"its mean is {np.round(mean, 4)}, not the manifest's"
        # Compression keeps the mean alone.
        yield not raw or std_error <= EXACT, f"its std is {np.round(std, 4)}, not the manifest's"


def decoding_rules(
    file: Path,
    encoding: str,
    num_images: int,
    workers: int,
    progress: Callable[[int], None],
    look: Callable[[NDArray[np.uint8]], object] = lambda image: None,
) -> Rules:
    """Every image can be decoded, in order; look(image) is called for each, uint8 [H,W,3].

    FFCV's decoder ignores a damaged JPEG, so the first and last bytes of each are checked too.
    """
    if encoding == "jpg":
        damaged = _incomplete_jpegs(file)
        yield not len(damaged), f"{len(damaged)} images are not complete JPEGs, the first has index {damaged[:1]}"
    seen = []
    for images, index in _load(file, workers):
        for image in images:
            look(image)
        seen.append(index[:, 0].copy())
        progress(len(index))
    yield np.array_equal(np.concatenate(seen), np.arange(num_images)), "images load in another order"


def _incomplete_jpegs(file: Path) -> NDArray[np.intp]:
    """Indices of images that do not begin and end with a JPEG's markers."""
    table, data = Reader(str(file)).alloc_table, np.memmap(file, np.uint8, "r")
    first, last = table["ptr"].astype(np.int64), (table["ptr"] + table["size"]).astype(np.int64) - 1
    markers = [(first, 0xFF), (first + 1, 0xD8), (last - 1, 0xFF), (last, 0xD9)]
    return np.flatnonzero(~np.all([data[where] == value for where, value in markers], axis=0))


def _load(file: Path, workers: int) -> Loader:
    """Batches (images uint8 [B,H,W,3], index int64 [B,1]) in the order of the file."""
    others = dict.fromkeys(Reader(str(file)).field_names)
    pipelines = {**others, "image": [SimpleRGBImageDecoder()], "index": [IntDecoder()]}
    threads = min(workers, numba.get_num_threads())
    return Loader(
        str(file), BATCH, num_workers=threads, order=OrderOption.SEQUENTIAL, drop_last=False, pipelines=pipelines
    )
