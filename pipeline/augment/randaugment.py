"""RandAugment and Cutout on one uint8[H,W,3] image, as USB and TorchSSL configure them, or as google (google_space.py).

`num_ops` operations are drawn uniformly with replacement, each with a value uniform in its range below; the magnitude
argument of the references has no effect and is left out. Cutout always follows. Numbers of the key's sequence used
here: 3, 4, 5 for Cutout's size, x and y; 6 + 2j and 7 + 2j for the j-th operation and its value (0, 1, 2 are left to
crop and flip). So a different `num_ops` leaves all other draws as they are.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from pipeline.augment import geometry, google_space, pixel_ops
from pipeline.augment.pixel_ops import Image
from pipeline.randomness import EXACT_INNER, uniform


class Operation(NamedTuple):
    """One operation and the closed range of its value; shifts are fractions of the side, angles are degrees."""

    name: str
    low: float = 0.0
    high: float = 0.0


# The position in this tuple is the number that apply_op takes.
OPERATIONS = (
    Operation("autocontrast"),
    Operation("brightness", 0.05, 0.95),
    Operation("color", 0.05, 0.95),
    Operation("contrast", 0.05, 0.95),
    Operation("equalize"),
    Operation("identity"),
    Operation("posterize", 4, 8),
    Operation("rotate", -30, 30),
    Operation("sharpness", 0.05, 0.95),
    Operation("shear_x", -0.3, 0.3),
    Operation("shear_y", -0.3, 0.3),
    Operation("solarize", 0, 256),
    Operation("translate_x", -0.3, 0.3),
    Operation("translate_y", -0.3, 0.3),
)
CUTOUT_LARGEST = 0.5
CUTOUT_COUNTER = 3
OPERATION_COUNTER = 6

_COUNT = len(OPERATIONS)
_NAMES = [operation.name for operation in OPERATIONS]
_IDENTITY, _TRANSLATE_X, _TRANSLATE_Y = (_NAMES.index(name) for name in ("identity", "translate_x", "translate_y"))
assert list(google_space.RANGES) == _NAMES
_LOW = np.array([operation.low for operation in OPERATIONS], np.float64)
_HIGH = np.array([operation.high for operation in OPERATIONS], np.float64)


@njit(**EXACT_INNER)
def apply_op(op: int, value: float, src: Image, dst: Image) -> None:
    """Operation number `op` of OPERATIONS, with `value` in its range, from `src` into `dst` (all of it).

    Both are C-contiguous uint8[H,W,3] that share no memory. Enhancing factors above 1 work too.
    """
    if op == 0:
        pixel_ops.autocontrast(src, dst)
    elif op == 1:
        pixel_ops.brightness(src, dst, value)
    elif op == 2:
        pixel_ops.color(src, dst, value)
    elif op == 3:
        pixel_ops.contrast(src, dst, value)
    elif op == 4:
        pixel_ops.equalize(src, dst)
    elif op == 5:
        pixel_ops.copy(src, dst)
    elif op == 6:
        pixel_ops.posterize(src, dst, value)
    else:
        _apply_rest(op, value, src, dst)


@njit(**EXACT_INNER)
def _apply_rest(op: int, value: float, src: Image, dst: Image) -> None:
    height, width, _ = src.shape
    if op == 7:
        geometry.rotate(src, dst, value)
    elif op == 8:
        pixel_ops.sharpness(src, dst, value)
    elif op == 9:
        geometry.shear_x(src, dst, value)
    elif op == 10:
        geometry.shear_y(src, dst, value)
    elif op == 11:
        pixel_ops.solarize(src, dst, value)
    elif op == 12:
        geometry.translate_x(src, dst, value * width)
    elif op == 13:
        geometry.translate_y(src, dst, value * height)


@njit(**EXACT_INNER)
def cutout(image: Image, size: float, x_draw: float, y_draw: float) -> None:
    """Paint a square of `size` (fraction of the width) in place; the draws in [0, 1) place its centre.

    As in the references: the centre lies in (1, side], the far corner is counted from the near one after that was
    moved inside (so the square is not cut at the left and top), and both ends are painted.
    """
    height, width, _ = image.shape
    if size <= 0.0:
        return
    side = size * width
    x_first, y_first = _near_edge(width, x_draw, side), _near_edge(height, y_draw, side)
    x_last, y_last = int(min(width, x_first + side)), int(min(height, y_first + side))
    for y in range(y_first, min(y_last, height - 1) + 1):
        for x in range(x_first, min(x_last, width - 1) + 1):
            image[y, x, 0], image[y, x, 1], image[y, x, 2] = 125, 123, 114


@njit(**EXACT_INNER)
def _near_edge(length: int, draw: float, side: float) -> int:
    """The references draw the centre from `length` down to 1, not from 0 up to `length`."""
    centre = length + (1.0 - length) * draw
    return int(max(0.0, centre - side / 2))


@njit(**EXACT_INNER)
def rand_augment(image: Image, scratch: Image, key: np.uint64, num_ops: int, google: bool) -> None:
    """RandAugment and Cutout of `image` in place, from google's pool if `google`; `scratch` is overwritten.

    Both are C-contiguous uint8[H,W,3]; all draws come from `uniform(key, counter)`, counters as above.
    """
    now, then = image, scratch
    swapped = False
    for j in range(num_ops):
        op, value = _draw_google(key, j, image) if google else _draw(key, j)
        if op != _IDENTITY:
            apply_op(op, value, now, then)
            now, then = then, now
            swapped = not swapped
    if swapped:
        pixel_ops.copy(scratch, image)
    x_draw, y_draw = uniform(key, CUTOUT_COUNTER + 1), uniform(key, CUTOUT_COUNTER + 2)
    if google:
        google_space.cutout(image, x_draw, y_draw)
    else:
        cutout(image, CUTOUT_LARGEST * uniform(key, CUTOUT_COUNTER), x_draw, y_draw)


@njit(**EXACT_INNER)
def _draw(key: np.uint64, j: int) -> tuple[int, float]:
    op = int(uniform(key, OPERATION_COUNTER + 2 * j) * _COUNT)
    return op, _LOW[op] + (_HIGH[op] - _LOW[op]) * uniform(key, OPERATION_COUNTER + 2 * j + 1)


@njit(**EXACT_INNER)
def _draw_google(key: np.uint64, j: int, image: Image) -> tuple[int, float]:
    """Google shifts by pixels, apply_op by fractions of the side."""
    op, value = google_space.draw_operation(key, j, _IDENTITY)
    if op == _TRANSLATE_X:
        value /= image.shape[1]
    elif op == _TRANSLATE_Y:
        value /= image.shape[0]
    return op, value
