"""Crop, mirror, rotate, shear and translate one uint8[H,W,3] image, nearest pixel, black outside: equal to Pillow's.

Pillow samples at pixel centres. A map that mixes the axes runs in 16.16 fixed point; a pure shift runs in float64,
adding 1.0 per pixel. Both are kept, because they round differently. Images are below 16384 pixels a side.

The innermost loops run over flat images with unsigned indices: a signed one may count from the end, and asking whether
it does keeps the compiler from copying blocks. Which pixels lie inside is known before each loop starts.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from pipeline.augment.pixel_ops import Image
from pipeline.randomness import EXACT


@njit(**EXACT)
def crop(src: Image, top: int, left: int, flip: bool, dst: Image) -> None:
    """dst uint8[S,S,3] = the window of the reflected src uint8[S0,S0,3] that starts at (top, left), maybe mirrored."""
    size, side = src.shape[0], dst.shape[0]
    source, target = src.reshape(-1), dst.reshape(-1)
    first, stop = min(max(-left, 0), side), max(min(size - left, side), 0)
    for y in range(side):
        row, out = _reflected(top + y, size) * size, y * side
        if flip:
            _mirror(source, row + left + first, target, out + side - stop, stop - first)
        else:
            _copy(source, row + left + first, target, out + first, stop - first)
        for x in range(first):
            _copy(source, row + _reflected(left + x, size), target, out + (side - 1 - x if flip else x), 1)
        for x in range(stop, side):
            _copy(source, row + _reflected(left + x, size), target, out + (side - 1 - x if flip else x), 1)


@njit(**EXACT)
def _reflected(at: int, size: int) -> int:
    """A coordinate mirrored into 0..size-1 at the first and the last pixel."""
    last = size - 1
    return last - abs(last - abs(at))


@njit(**EXACT)
def _copy(source: Image, here: int, target: Image, there: int, count: int) -> None:
    """Pixels here, here + 1, ... become there, there + 1, ..."""
    i, j = np.uint64(3 * here), np.uint64(3 * there)
    for n in range(np.uint64(3 * count)):
        target[j + n] = source[i + n]


@njit(**EXACT)
def _mirror(source: Image, here: int, target: Image, there: int, count: int) -> None:
    """As _copy, in reverse."""
    three, i, j = np.uint64(3), np.uint64(3 * (here + count - 1)), np.uint64(3 * there)
    for n in range(np.uint64(count)):
        for channel in range(three):
            target[j + three * n + channel] = source[i - three * n + channel]


@njit(**EXACT)
def _blacken(target: Image, there: int, count: int) -> None:
    j = np.uint64(3 * there)
    for n in range(np.uint64(3 * count)):
        target[j + n] = 0


@njit(**EXACT)
def _fixed(value: float) -> int:
    """The nearest multiple of 1/65536, as an integer number of them."""
    return math.floor(value * 65536.0 + 0.5)


@njit(**EXACT)
def rotate(src: Image, dst: Image, degrees: float) -> None:
    """Turn counter-clockwise about the centre; the size stays."""
    angle = -math.radians(degrees % 360.0)
    # Pillow rounds to 15 decimals so that right angles come out exact.
    cos, sin, minus_sin = round(math.cos(angle), 15), round(math.sin(angle), 15), round(-math.sin(angle), 15)
    x, y = src.shape[1] / 2.0, src.shape[0] / 2.0
    across = (cos * -x + sin * -y) + x
    down = (minus_sin * -x + cos * -y) + y
    _affine(src, dst, cos, sin, across, minus_sin, cos, down)


@njit(**EXACT)
def shear_y(src: Image, dst: Image, slope: float) -> None:
    """Output (x, y) shows input (x, y + slope * x)."""
    _affine(src, dst, 1.0, 0.0, 0.0, slope, 1.0, 0.0)


@njit(**EXACT)
def _affine(src: Image, dst: Image, a: float, b: float, c: float, d: float, e: float, f: float) -> None:
    """Output (x, y) shows input (a x + b y + c, d x + e y + f), in fixed point."""
    height, width, _ = src.shape
    source, target, x_step, y_step = src.reshape(-1), dst.reshape(-1), _fixed(a), _fixed(d)
    for y in range(height):
        x_in = _fixed(c + a * 0.5 + b * 0.5) + y * _fixed(b)
        y_in = _fixed(f + d * 0.5 + e * 0.5) + y * _fixed(e)
        (first, stop), (low, high) = _inside(x_in, x_step, width, width), _inside(y_in, y_step, height, width)
        first = max(first, low)
        stop = max(min(stop, high), first)
        _blacken(target, y * width, first)
        x_in, y_in = x_in + first * x_step, y_in + first * y_step
        for x in range(y * width + first, y * width + stop):
            _copy(source, (y_in >> 16) * width + (x_in >> 16), target, x, 1)
            x_in += x_step
            y_in += y_step
        _blacken(target, y * width + stop, width - stop)


@njit(**EXACT)
def _inside(start: int, step: int, size: int, count: int) -> tuple[int, int]:
    """(first, stop): the i of 0 .. count-1 for which the fixed-point start + i * step lies in [0, size)."""
    end = size << 16
    if step < 0:  # the same walk in a mirror
        start, step = end - 1 - start, -step
    if step == 0:
        return (0, count) if 0 <= start < end else (0, 0)
    first, stop = -(start // step), (end - 1 - start) // step + 1
    return min(max(first, 0), count), min(max(stop, 0), count)


@njit(**EXACT)
def shear_x(src: Image, dst: Image, slope: float) -> None:
    """Output (x, y) shows input (x + slope * y, y): whole rows move, by a fixed-point amount."""
    height, width, _ = src.shape
    source, target = src.reshape(-1), dst.reshape(-1)
    for y in range(height):
        shift = (_fixed(0.5 + slope * 0.5) + y * _fixed(slope)) >> 16
        first = min(max(-shift, 0), width)
        stop = max(min(width - shift, width), first)
        _blacken(target, y * width, first)
        _copy(source, y * width + first + shift, target, y * width + first, stop - first)
        _blacken(target, y * width + stop, width - stop)


@njit(**EXACT)
def _position(value: float) -> int:
    """Pixel that holds a coordinate: truncated, -1 for all negative ones."""
    return int(value) if value >= 0.0 else -1


@njit(**EXACT)
def translate_x(src: Image, dst: Image, pixels: float) -> None:
    """Output (x, y) shows input (x + pixels, y)."""
    height, width, _ = src.shape
    source, target, centre, x = src.reshape(-1), dst.reshape(-1), pixels + 0.5, 0
    while x < width:
        column, count = _position(centre), 1
        centre += 1.0
        inside = 0 <= column < width
        # Columns that move alike go together: nearly always all that lie inside, but a sum may round up.
        while x + count < width:
            after = _position(centre)
            if (0 <= after < width) != inside or (inside and after != column + count):
                break
            count += 1
            centre += 1.0
        for place in range(x, height * width, width):
            if inside:
                _copy(source, place - x + column, target, place, count)
            else:
                _blacken(target, place, count)
        x += count


@njit(**EXACT)
def translate_y(src: Image, dst: Image, pixels: float) -> None:
    """Output (x, y) shows input (x, y + pixels)."""
    height, width, _ = src.shape
    source, target, centre = src.reshape(-1), dst.reshape(-1), pixels + 0.5
    for y in range(height):
        row = _position(centre)
        if 0 <= row < height:
            _copy(source, row * width, target, y * width, width)
        else:
            _blacken(target, y * width, width)
        centre += 1.0
