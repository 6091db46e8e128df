"""Fourteen pixel operations on one uint8[H,W,3] image, each bit-equal to Pillow's.

Every operation reads `src` and fills all of `dst` (C-contiguous, same shape, different memory). Bit-equality is the
point: strong views then are the ones the published results were trained on, at a fraction of the time. The arithmetic
below therefore follows Pillow's number formats (float32 blends, 16.16 fixed-point coordinates, truncation) exactly.
Two habits keep the loops vectorised: float32 instead of differences of bytes (numba widens small integers to 64 bits),
and `for j in range(n)` with `i = 3 * j` instead of `range(0, 3 * n, 3)` (four to ten times slower).
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from numba import njit

from pipeline.randomness import EXACT

Image = npt.NDArray[np.uint8]


@njit(**EXACT)
def copy(src: Image, dst: Image) -> None:
    """The operation "identity"."""
    source, target = src.reshape(-1), dst.reshape(-1)
    for i in range(target.size):
        target[i] = source[i]


@njit(**EXACT)
def _blend(base: np.float32, pixel: np.float32, factor: np.float32) -> np.uint8:
    """base + factor * (pixel - base) in float32, clipped and truncated; factors above 1 extrapolate."""
    value = base + factor * (pixel - base)
    return np.uint8(np.int32(min(max(value, np.float32(0)), np.float32(255))))


@njit(**EXACT)
def _look_up(src: Image, dst: Image, table: Image) -> None:
    """dst = table[channel, src], table uint8[3,256]."""
    source, target = src.reshape(-1), dst.reshape(-1)
    for j in range(target.size // 3):
        i = 3 * j
        target[i] = table[0, source[i]]
        target[i + 1] = table[1, source[i + 1]]
        target[i + 2] = table[2, source[i + 2]]


@njit(**EXACT)
def autocontrast(src: Image, dst: Image) -> None:
    """Stretch each channel's range to 0..255; a channel of one value stays."""
    source = src.reshape(-1)
    table = np.empty((3, 256), np.uint8)
    for channel in range(3):
        low, high = np.uint8(255), np.uint8(0)
        for j in range(source.size // 3):
            value = source[3 * j + channel]
            low, high = min(low, value), max(high, value)
        _stretch(np.int64(low), np.int64(high), table[channel])
    _look_up(src, dst, table)


@njit(**EXACT)
def _stretch(low: int, high: int, table: Image) -> None:
    """Fill uint8[256] with the line that sends low to 0 and high to 255, in float64, truncated."""
    if high <= low:
        for value in range(256):
            table[value] = value
        return
    scale = 255.0 / (high - low)
    offset = -low * scale
    for value in range(256):
        table[value] = np.int32(min(max(value * scale + offset, 0.0), 255.0))


@njit(**EXACT)
def brightness(src: Image, dst: Image, factor: float) -> None:
    """Blend with black; factor 1 is the image itself."""
    source, target, amount = src.reshape(-1), dst.reshape(-1), np.float32(factor)
    for i in range(target.size):
        target[i] = _blend(np.float32(0), np.float32(source[i]), amount)


@njit(**EXACT)
def _luma(red: np.uint8, green: np.uint8, blue: np.uint8) -> np.float32:
    """ITU-R 601-2 luma with 16-bit weights, rounded; every sum is below 2**24, so float32 holds it exactly."""
    total = np.float32(red) * np.float32(19595) + np.float32(green) * np.float32(38470)
    total += np.float32(blue) * np.float32(7471) + np.float32(32768)
    return np.float32(np.int32(total * np.float32(2.0**-16)))


@njit(**EXACT)
def color(src: Image, dst: Image, factor: float) -> None:
    """Blend with the grey version of the image."""
    source, target, amount = src.reshape(-1), dst.reshape(-1), np.float32(factor)
    for j in range(target.size // 3):
        i = 3 * j
        red, green, blue = source[i], source[i + 1], source[i + 2]
        grey = _luma(red, green, blue)
        target[i] = _blend(grey, np.float32(red), amount)
        target[i + 1] = _blend(grey, np.float32(green), amount)
        target[i + 2] = _blend(grey, np.float32(blue), amount)


@njit(**EXACT)
def contrast(src: Image, dst: Image, factor: float) -> None:
    """Blend with the mean luma of the image, rounded to an integer."""
    source, target, amount = src.reshape(-1), dst.reshape(-1), np.float32(factor)
    total = np.int64(0)
    for j in range(source.size // 3):
        i = 3 * j
        total += np.int64(_luma(source[i], source[i + 1], source[i + 2]))
    mean = np.float32(int(total / (source.size // 3) + 0.5))
    for i in range(target.size):
        target[i] = _blend(mean, np.float32(source[i]), amount)


@njit(**EXACT)
def equalize(src: Image, dst: Image) -> None:
    """Flatten each channel's histogram."""
    source = src.reshape(-1)
    table = np.empty((3, 256), np.uint8)
    counts = np.zeros((3, 256), np.int64)
    for j in range(source.size // 3):
        i = 3 * j
        counts[0, source[i]] += 1
        counts[1, source[i + 1]] += 1
        counts[2, source[i + 2]] += 1
    for channel in range(3):
        _flatten(counts[channel], source.size // 3, table[channel])
    _look_up(src, dst, table)


@njit(**EXACT)
def _flatten(counts: npt.NDArray[np.int64], pixels: int, table: Image) -> None:
    """Fill uint8[256] with the equalising steps; the brightest used value does not count towards a step."""
    brightest = 255
    while counts[brightest] == 0:
        brightest -= 1
    step = (pixels - counts[brightest]) // 255
    total = step // 2
    for value in range(256):
        # A step of 0 (few pixels, or one value only) leaves the channel as it is.
        table[value] = min(total // step, 255) if step > 0 else value
        total += counts[value]


@njit(**EXACT)
def posterize(src: Image, dst: Image, bits: float) -> None:
    """Keep the upper int(bits) bits of each byte."""
    source, target = src.reshape(-1), dst.reshape(-1)
    mask = np.uint8(256 - (1 << (8 - int(bits))))
    for i in range(target.size):
        target[i] = source[i] & mask


@njit(**EXACT)
def solarize(src: Image, dst: Image, threshold: float) -> None:
    """Invert the bytes that are not below the threshold."""
    source, target = src.reshape(-1), dst.reshape(-1)
    limit = np.int32(math.ceil(threshold))  # byte < threshold exactly if byte < ceil(threshold)
    for i in range(target.size):
        target[i] = source[i] if np.int32(source[i]) < limit else ~source[i]


@njit(**EXACT)
def sharpness(src: Image, dst: Image, factor: float) -> None:
    """Blend with a smoothed image (3x3, centre 5, others 1, over 13); the outermost pixels stay."""
    height, width, _ = src.shape
    source, target = src.reshape(-1), dst.reshape(-1)
    row = 3 * width
    sums = np.empty(row, np.uint16)
    for i in range(row):
        target[i] = source[i]
        target[target.size - 1 - i] = source[target.size - 1 - i]
    for start in range(row, (height - 1) * row, row):
        for i in range(start, start + 3):
            target[i], target[i + row - 3] = source[i], source[i + row - 3]
        _add_rows(source, np.uint64(start), np.uint64(row), sums)
        _smooth_row(sums, source, np.uint64(start), np.float32(factor), target)


@njit(**EXACT)
def _add_rows(source: Image, start: np.uint64, row: np.uint64, sums: npt.NDArray[np.uint16]) -> None:
    """Sums of each byte from ``start`` on, the one above and the one below. Unsigned indices: see geometry."""
    for i in range(row):
        at = start + i
        sums[i] = np.uint16(source[at - row]) + np.uint16(source[at]) + np.uint16(source[at + row])


@njit(**EXACT)
def _smooth_row(
    sums: npt.NDArray[np.uint16], source: Image, start: np.uint64, factor: np.float32, target: Image
) -> None:
    """One row of sharpness without its first and last pixel."""
    one = np.uint64(3)
    for i in range(one, np.uint64(sums.size) - one):
        pixel = source[start + i]
        total = np.uint32(sums[i - one]) + np.uint32(sums[i]) + np.uint32(sums[i + one])
        total += np.uint32(4) * np.uint32(pixel) + np.uint32(6)
        # total / 13, with the 6 to the nearest integer, by a reciprocal; exact since 10 * total <= 33210 < 2**16.
        smooth = np.uint32(np.uint32(total * np.uint32(5042)) >> np.uint32(16))
        target[start + i] = _blend(np.float32(smooth), np.float32(pixel), factor)
