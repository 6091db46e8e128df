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

from pipeline.image_ops import Image
from pipeline.randomness import EXACT, EXACT_INNER, uniform

Integers = npt.NDArray[np.int64]
Weights = npt.NDArray[np.int32]
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
    rows = np.empty((height, 3 * side), np.uint8)
    firsts, counts, weights = _line_weights(width, side)
    for y in range(height):
        _resize_row(src[top + y, left : left + width], firsts, counts, weights, flip, rows[y])
    firsts, counts, weights = _line_weights(height, side)
    total = np.empty(3 * side, np.int32)
    for y in range(side):
        _blend_rows(rows, firsts[y], counts[y], weights[y], total, dst[y].reshape(-1))


@njit(**EXACT)
def _line_weights(length: int, side: int) -> tuple[Integers, Integers, Weights]:
    """For each of ``side`` outputs along a line of ``length`` pixels: first input, number of inputs, their weights."""
    scale = length / side
    reach = max(scale, 1.0)  # the triangle's half width
    firsts, counts = np.empty(side, np.int64), np.empty(side, np.int64)
    weights = np.zeros((side, 2 * math.ceil(reach) + 1), np.int32)
    for i in range(side):
        centre = (i + 0.5) * scale
        firsts[i] = max(int(centre - reach + 0.5), 0)
        counts[i] = min(int(centre + reach + 0.5), length) - firsts[i]
        _triangle(firsts[i], centre, 1.0 / reach, counts[i], weights[i])
    return firsts, counts, weights


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
def _resize_row(line: Image, firsts: Integers, counts: Integers, weights: Weights, flip: bool, out: Image) -> None:
    """out uint8[3 S] of line uint8[W,3]."""
    side = firsts.size
    for i in range(side):
        red, green, blue = HALF, HALF, HALF
        for j in range(counts[i]):
            weight, at = weights[i, j], firsts[i] + j
            red = np.int32(red + line[at, 0] * weight)
            green = np.int32(green + line[at, 1] * weight)
            blue = np.int32(blue + line[at, 2] * weight)
        place = 3 * (side - 1 - i if flip else i)
        # The weights are positive and add up to 1 but for their rounding, so no clipping is needed.
        out[place], out[place + 1], out[place + 2] = red >> PLACES, green >> PLACES, blue >> PLACES


@njit(**EXACT)
def _blend_rows(rows: Image, first: int, count: int, weights: Weights, total: Weights, out: Image) -> None:
    """out uint8[n] = the weighted rows first .. first + count - 1 of uint8[H,n]; total int32[n] is scratch."""
    total[:] = HALF
    for j in range(count):
        row, weight = rows[first + j], weights[j]
        for i in range(total.size):
            total[i] = np.int32(total[i] + np.int32(np.int32(row[i]) * weight))
    for i in range(total.size):
        out[i] = total[i] >> PLACES
