"""Resize a window of one uint8[H,W,3] image to a square, bit-equal to Pillow's ``crop(box).resize(size, BILINEAR)``.

That is torchvision's ``resized_crop`` on Pillow images, antialiasing included: where the window is larger than the
output the triangle widens with it. Pillow's number format is followed: weights with 22 binary places, first along the
rows, rounded to bytes, then along the columns. Nothing outside the window is looked at.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from numba import njit

from pipeline.augment.pixel_ops import Image
from pipeline.randomness import EXACT, EXACT_INNER, uniform

Integers = npt.NDArray[np.int64]
Weights = npt.NDArray[np.int32]
Pairs = npt.NDArray[np.uint64]
PLACES = 22
HALF = np.int32(1 << (PLACES - 1))

# torchvision's RandomResizedCrop as USB sets it: share of the area, width / height, tries before all of the image.
AREA = (0.08, 1.0)
LOG_ASPECT = (math.log(3 / 4), math.log(4 / 3))
TRIES = 10
RESIZE_COUNTER = 1000  # of the key's sequence: two numbers a try; 0 and 1 place the window


@njit(**EXACT_INNER)
def draw_window(size: int, key: np.uint64) -> tuple[int, int, int, int]:
    """(top, left, height, width) of a random window of a square image: area and log aspect uniform, then the place."""
    for j in range(TRIES):
        area = size * size * (AREA[0] + (AREA[1] - AREA[0]) * uniform(key, RESIZE_COUNTER + 2 * j))
        spread = LOG_ASPECT[1] - LOG_ASPECT[0]
        aspect = math.exp(LOG_ASPECT[0] + spread * uniform(key, RESIZE_COUNTER + 2 * j + 1))
        width, height = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < width <= size and 0 < height <= size:
            top = int(uniform(key, 0) * (size - height + 1))
            return top, int(uniform(key, 1) * (size - width + 1)), height, width
    return 0, 0, size, size


@njit(**EXACT)
def resize_window(src: Image, top: int, left: int, height: int, width: int, flip: bool, dst: Image) -> None:
    """Fill dst uint8[S,S,3] with the window of src uint8[H,W,3], resized, and mirrored if ``flip``."""
    side = dst.shape[0]
    rows = np.empty(height * 3 * side, np.uint8)
    firsts, weights = _line_weights(width, side)
    if flip:
        firsts, weights = firsts[::-1].copy(), weights[::-1].copy()
    both = np.zeros(3 * (width + weights.shape[1]), np.uint64)  # weights of 0 reach beyond the line
    for y in range(0, height, 2):
        z = min(y + 1, height - 1)
        _pack(src.reshape(-1), _line(top + y, left, src.shape[1]), _line(top + z, left, src.shape[1]), 3 * width, both)
        _resize_two_rows(both, firsts, weights, _line(y, 0, side), _line(z, 0, side), rows)
    firsts, weights = _line_weights(height, side)
    total = np.empty(3 * side, np.int32)
    for y in range(side):
        _blend_rows(rows, firsts[y], height - 1, weights, y, total, dst.reshape(-1))


@njit(**EXACT)
def _line(y: int, x: int, width: int) -> np.uint64:
    """Where pixel (x, y) begins. Unsigned: see geometry."""
    return np.uint64(3 * (y * width + x))


@njit(**EXACT)
def _line_weights(length: int, side: int) -> tuple[Integers, Weights]:
    """For each of ``side`` outputs along a line of ``length`` pixels: first input; weights of it and the next ones.

    There are two or more weights; the last ones may be 0, also of pixels beyond the line.
    """
    scale = length / side
    reach = max(scale, 1.0)  # the triangle's half width
    firsts = np.empty(side, np.int64)
    weights = np.zeros((side, math.ceil(2 * reach) + 1), np.int32)
    most = 2
    for i in range(side):
        centre = (i + 0.5) * scale
        firsts[i] = max(int(centre - reach + 0.5), 0)
        count = min(int(centre + reach + 0.5), length) - firsts[i]
        _triangle(firsts[i], centre, 1.0 / reach, count, weights[i])
        most = max(most, count)
    return firsts, weights[:, :most].copy()


@njit(**EXACT)
def _triangle(first: int, centre: float, slope: float, count: int, out: Weights) -> None:
    """The first ``count`` of out: the triangle about ``centre`` at pixel centres, normalised, in fixed point."""
    total = 0.0
    for j in range(count):
        total += max(1.0 - abs((first + j - centre + 0.5) * slope), 0.0)
    for j in range(count):
        weight = max(1.0 - abs((first + j - centre + 0.5) * slope), 0.0)
        share = weight / total if total != 0.0 else weight
        out[j] = int(0.5 + share * (1 << PLACES))


@njit(**EXACT)
def _pack(source: Image, one: np.uint64, two: np.uint64, count: int, both: Pairs) -> None:
    """``count`` bytes from ``one`` on in the lower halves of ``both``, as many from ``two`` on in the upper ones."""
    for i in range(np.uint64(count)):
        both[i] = np.uint64(source[one + i]) | (np.uint64(source[two + i]) << np.uint64(32))


@njit(**EXACT)
def _resize_two_rows(
    both: Pairs, firsts: Integers, weights: Weights, one: np.uint64, two: np.uint64, out: Image
) -> None:
    """The rows of ``out`` that begin at ``one`` and ``two``, of two packed lines: a multiplication serves both.

    The weights are positive and add up to 1 but for their rounding, so no clipping is needed and halves do not meet.
    """
    half = np.uint64(HALF) | (np.uint64(HALF) << np.uint64(32))
    for i in range(firsts.size):
        at, weight, other = np.uint64(3 * firsts[i]), np.uint64(weights[i, 0]), np.uint64(weights[i, 1])
        red = half + both[at] * weight + both[at + np.uint64(3)] * other
        green = half + both[at + np.uint64(1)] * weight + both[at + np.uint64(4)] * other
        blue = half + both[at + np.uint64(2)] * weight + both[at + np.uint64(5)] * other
        for j in range(2, weights.shape[1]):
            at, weight = np.uint64(3 * (firsts[i] + j)), np.uint64(weights[i, j])
            red += both[at] * weight
            green += both[at + np.uint64(1)] * weight
            blue += both[at + np.uint64(2)] * weight
        _unpack(red, out, one, two)
        _unpack(green, out, one + np.uint64(1), two + np.uint64(1))
        _unpack(blue, out, one + np.uint64(2), two + np.uint64(2))
        one, two = one + np.uint64(3), two + np.uint64(3)


@njit(**EXACT)
def _unpack(total: np.uint64, out: Image, one: np.uint64, two: np.uint64) -> None:
    out[one] = np.uint32(total) >> np.uint32(PLACES)
    out[two] = total >> np.uint64(32 + PLACES)


@njit(**EXACT)
def _blend_rows(rows: Image, first: int, last: int, weights: Weights, y: int, total: Weights, out: Image) -> None:
    """Row y of ``out`` = the weighted ``rows`` from ``first`` on, at most to ``last``; total int32[n] is scratch."""
    size = np.uint64(total.size)
    here, below = np.uint64(first) * size, np.uint64(min(first + 1, last)) * size
    if weights.shape[1] == 2:
        _blend_two(rows, here, below, weights[y, 0], weights[y, 1], out, np.uint64(y) * size, size)
        return
    total[:] = HALF
    for j in range(weights.shape[1]):
        here, weight = np.uint64(min(first + j, last)) * size, weights[y, j]
        for i in range(size):
            total[i] = np.int32(total[i] + np.int32(np.int32(rows[here + i]) * weight))
    for i in range(size):
        out[np.uint64(y) * size + i] = total[i] >> PLACES


@njit(**EXACT)
def _blend_two(
    rows: Image, one: np.uint64, two: np.uint64, weight: int, other: int, out: Image, at: np.uint64, size: np.uint64
) -> None:
    """The case of two weights: every window that is not higher than the output."""
    for i in range(size):
        upper = np.int32(np.int32(rows[one + i]) * np.int32(weight))
        lower = np.int32(np.int32(rows[two + i]) * np.int32(other))
        out[at + i] = np.int32(np.int32(upper + lower) + HALF) >> PLACES
