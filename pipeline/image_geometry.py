"""Rotate, shear and translate one uint8[H,W,3] image, nearest pixel, black outside: bit-equal to Pillow's affine.

Pillow samples at pixel centres. A map that mixes the axes runs in 16.16 fixed point; a pure shift runs in float64,
adding 1.0 per pixel. Both are kept, because they round differently. Images are below 16384 pixels a side.
"""

from __future__ import annotations

import math

from numba import njit

from pipeline.image_ops import Image
from pipeline.randomness import EXACT


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
    x_step, y_step = _fixed(a), _fixed(d)
    for y in range(height):
        x_in = _fixed(c + a * 0.5 + b * 0.5) + y * _fixed(b)
        y_in = _fixed(f + d * 0.5 + e * 0.5) + y * _fixed(e)
        for x in range(width):
            column, row = x_in >> 16, y_in >> 16
            inside = 0 <= column < width and 0 <= row < height
            for channel in range(3):
                dst[y, x, channel] = src[row, column, channel] if inside else 0
            x_in += x_step
            y_in += y_step


@njit(**EXACT)
def shear_x(src: Image, dst: Image, slope: float) -> None:
    """Output (x, y) shows input (x + slope * y, y): whole rows move, by a fixed-point amount."""
    height, width, _ = src.shape
    source, target = src.reshape(height, width * 3), dst.reshape(height, width * 3)
    for y in range(height):
        shift = (_fixed(0.5 + slope * 0.5) + y * _fixed(slope)) >> 16
        _shift_row(source[y], target[y], 3 * shift)


@njit(**EXACT)
def _shift_row(source: Image, target: Image, shift: int) -> None:
    """target[i] = source[i + shift] where that exists, else 0; rows are uint8[n]."""
    size = target.size
    first = min(max(-shift, 0), size)
    last = max(min(size - shift, size), first)
    for i in range(first):
        target[i] = 0
    # Slices with loops from 0: only then the compiler sees that no index is negative, and copies blocks.
    inside, seen = target[first:last], source[first + shift : last + shift]
    for i in range(inside.size):
        inside[i] = seen[i]
    for i in range(last, size):
        target[i] = 0


@njit(**EXACT)
def _position(value: float) -> int:
    """Pixel that holds a coordinate: truncated, -1 for all negative ones."""
    return int(value) if value >= 0.0 else -1


@njit(**EXACT)
def translate_x(src: Image, dst: Image, pixels: float) -> None:
    """Output (x, y) shows input (x + pixels, y)."""
    height, width, _ = src.shape
    centre = pixels + 0.5
    for x in range(width):
        column = _position(centre)
        inside = 0 <= column < width
        for y in range(height):
            for channel in range(3):
                dst[y, x, channel] = src[y, column, channel] if inside else 0
        centre += 1.0


@njit(**EXACT)
def translate_y(src: Image, dst: Image, pixels: float) -> None:
    """Output (x, y) shows input (x, y + pixels)."""
    height, width, _ = src.shape
    source, target = src.reshape(height, width * 3), dst.reshape(height, width * 3)
    centre = pixels + 0.5
    for y in range(height):
        row = _position(centre)
        inside = 0 <= row < height
        _shift_row(source[row if inside else 0], target[y], 0 if inside else 3 * width)
        centre += 1.0
