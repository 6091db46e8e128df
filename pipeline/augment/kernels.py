"""Weak and strong views of a decoded batch: crop, flip, RandAugment, Cutout, in parallel over images.

The padded image never exists; coordinates are reflected instead. Numbers of a view's sequence: 0 crop row, 1 crop
column, 2 flip, from 3 RandAugment, from 100 google's, from 1000 the size of a resized crop. The wrappers below take and
check the arrays; they may be called from a loader's thread (the kernels release the GIL), where two at once need
numba's tbb or omp threading layer.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit, prange

from pipeline import randomness
from pipeline.augment import geometry, google_space, pixel_ops, randaugment, resize
from pipeline.augment.pixel_ops import Image
from pipeline.augment.randaugment import rand_augment
from pipeline.augment.resize import draw_window, resize_window
from pipeline.randomness import EXACT, EXACT_INNER, draw_key, uniform

Integers = npt.NDArray[np.int64]
WEAK, STRONG = 0, 1
LARGEST_SIDE = 16384  # geometry's fixed point


def _sources() -> int:
    """A digest of the kernel files. Numba's cache notices changes in a function's own file only."""
    modules = google_space, geometry, pixel_ops, resize, randaugment, randomness
    files = [module.__file__ for module in modules]
    texts = b"".join(Path(file).read_bytes() for file in files if file is not None)
    return int.from_bytes(hashlib.sha256(texts).digest()[:7], "big")


@njit(**EXACT_INNER)
def _draw_crop(src: Image, key: np.uint64, padding: int, flip: bool, dst: Image) -> None:
    """A uniformly drawn window of the padded square, mirrored with probability 1/2 if `flip`."""
    places = src.shape[0] + 2 * padding - dst.shape[0] + 1
    top = int(uniform(key, 0) * places) - padding
    left = int(uniform(key, 1) * places) - padding
    geometry.crop(src, top, left, flip and uniform(key, 2) < 0.5, dst)


@njit(**EXACT_INNER)
def _draw_resized_crop(src: Image, key: np.uint64, flip: bool, dst: Image) -> None:
    """A random window of random area and aspect, resized, mirrored with probability 1/2 if `flip`."""
    top, left, height, width = draw_window(src.shape[0], key)
    resize_window(src, top, left, height, width, flip and uniform(key, 2) < 0.5, dst)


def _kernels(sources: int) -> tuple[Any, Any]:
    """The two batch kernels. `sources` is a closure variable because those are part of numba's cache key."""

    @njit(parallel=True, **EXACT)
    def weak_kernel(images, index, visit, seed, stream, padding, flip, out):  # type: ignore[no-untyped-def]
        _ = sources
        for i in prange(images.shape[0]):
            key = draw_key(seed, stream, visit[i], index[i], WEAK)
            _draw_crop(images[i], key, padding, flip, out[i])

    @njit(parallel=True, **EXACT)
    def both_kernel(  # type: ignore[no-untyped-def]
        images, index, visit, seed, stream, padding, flip, num_ops, google, resized, weak, strong
    ):
        _ = sources
        for i in prange(images.shape[0]):
            # The strong view comes first: until the weak one is written, its place serves as scratch.
            key = draw_key(seed, stream, visit[i], index[i], STRONG)
            if resized:
                _draw_resized_crop(images[i], key, flip, strong[i])
            else:
                _draw_crop(images[i], key, padding, flip, strong[i])
            rand_augment(strong[i], weak[i], key, num_ops, google)
            key = draw_key(seed, stream, visit[i], index[i], WEAK)
            _draw_crop(images[i], key, padding, flip, weak[i])

    return weak_kernel, both_kernel


_weak_kernel, _both_kernel = _kernels(_sources())


class Augmentation(NamedTuple):
    """What is done to training images. ``padding``: pixels reflected at each side before the crop, below the side."""

    padding: int
    flip: bool
    operations: int = 3  # of RandAugment, then Cutout
    google: bool = False  # google's pool of operations instead of USB's
    resized: bool = False  # the strong view is a random resized crop, without padding


def weak_views(
    images: Image, index: Integers, visit: Integers, seed: int, stream: int, how: Augmentation, out: Image
) -> None:
    """Fill `out` uint8[B,S,S,3] with a random crop, perhaps mirrored, of each image uint8[B,S0,S0,3].

    `index` and `visit`, int64[B], name the draws; the window is uniform over the padded square. All arrays are
    C-contiguous.
    """
    _check(images, index, visit, how, out)
    _weak_kernel(images, index, visit, int(seed), int(stream), int(how.padding), bool(how.flip), out)


def weak_and_strong_views(
    images: Image,
    index: Integers,
    visit: Integers,
    seed: int,
    stream: int,
    how: Augmentation,
    weak: Image,
    strong: Image,
) -> None:
    """Fill `weak` and `strong`, uint8[B,S,S,3], from the same images; `weak` is what `weak_views` gives.

    The strong view has a crop and a flip of its own, then RandAugment and Cutout.
    """
    _check(images, index, visit, how, weak)
    _check(images, index, visit, how, strong)
    assert how.operations >= 0, how
    assert not np.shares_memory(weak, strong)
    numbers = int(seed), int(stream), int(how.padding), bool(how.flip), int(how.operations)
    _both_kernel(images, index, visit, *numbers, bool(how.google), bool(how.resized), weak, strong)


def center_crop(images: Image, out: Image) -> None:
    """Fill `out` uint8[B,S,S,3] with the central windows of `images` uint8[B,S0,S0,3], for evaluation.

    An odd remainder leaves the extra row and column below and to the right.
    """
    side, size = out.shape[1], images.shape[1]
    assert images.dtype == out.dtype == np.uint8 and images.shape[0] == out.shape[0] and side <= size
    start = (size - side) // 2
    out[...] = images[:, start : start + side, start : start + side]


def _check(images: Image, index: Integers, visit: Integers, how: Augmentation, out: Image) -> None:
    batch, size = images.shape[:2]
    side, padding = out.shape[1], how.padding
    assert images.dtype == out.dtype == np.uint8 and index.dtype == visit.dtype == np.int64
    assert images.shape == (batch, size, size, 3) and out.shape == (batch, side, side, 3), (
        images.shape,
        out.shape,
    )
    assert index.shape == visit.shape == (batch,), (index.shape, visit.shape, batch)
    assert 0 <= padding < size and 0 < side <= size + 2 * padding < LARGEST_SIDE, (padding, side, size)
    assert all(array.flags.c_contiguous for array in (images, index, visit, out))
