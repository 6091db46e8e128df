"""RandAugment's pool as google's fixmatch draws it: the same fourteen operations with ranges of their own.

Each operation is applied with probability 1/2, at an integer level 1 to 9 of 10; enhancing factors reach 1.72, shifts
are whole pixels, and shears, rotations and shifts go either way. Cutout is a grey square of 16 pixels, cut at the
edges of the image. Google draws two operations (``augment.operations: 2``). Numbers of the key's sequence: 100 + 4j
to 103 + 4j for the j-th operation, whether it is applied, its level and its sign; 4 and 5 for Cutout's place.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from pipeline.augment.pixel_ops import Image
from pipeline.randomness import EXACT, EXACT_INNER, uniform


class Range(NamedTuple):
    """value = base + direction * span * level / 10, the product cut to an integer if ``whole``.

    ``direction`` 0: plus or minus, at random.
    """

    base: float = 0.0
    span: float = 0.0
    whole: bool = False
    direction: int = 1


ENHANCE = Range(base=0.1, span=1.8)
RANGES: dict[str, Range] = {
    "autocontrast": Range(),
    "brightness": ENHANCE,
    "color": ENHANCE,
    "contrast": ENHANCE,
    "equalize": Range(),
    "identity": Range(),
    "posterize": Range(base=4, span=4, whole=True, direction=-1),  # bits kept
    "rotate": Range(span=30, whole=True, direction=0),
    "sharpness": ENHANCE,
    "shear_x": Range(span=0.3, direction=0),
    "shear_y": Range(span=0.3, direction=0),
    "solarize": Range(base=256, span=256, whole=True, direction=-1),
    "translate_x": Range(span=10, whole=True, direction=0),  # pixels
    "translate_y": Range(span=10, whole=True, direction=0),
}
LEVELS, TOP_LEVEL = 9, 10
CUTOUT_SIDE, CUTOUT_GREY = 16, 127
COUNTER = 100

_BASE = np.array([r.base for r in RANGES.values()], np.float64)
_SPAN = np.array([r.span for r in RANGES.values()], np.float64)
_WHOLE = np.array([r.whole for r in RANGES.values()])
_DIRECTION = np.array([r.direction for r in RANGES.values()], np.int64)


@njit(**EXACT)
def value_at(op: int, level: int, negative: bool) -> float:
    """The value of operation number ``op`` (place in RANGES) at level 1..9; shifts in pixels, angles in degrees."""
    amount = level * _SPAN[op] / TOP_LEVEL
    if _WHOLE[op]:
        amount = np.floor(amount)
    direction = _DIRECTION[op]
    if direction == 0:
        direction = -1 if negative else 1
    return _BASE[op] + direction * amount


@njit(**EXACT_INNER)
def draw_operation(key: np.uint64, j: int, identity: int) -> tuple[int, float]:
    """The j-th operation and its value; ``identity`` where it is not applied."""
    first = COUNTER + 4 * j
    op = int(uniform(key, first) * _BASE.size)
    if uniform(key, first + 1) >= 0.5:
        return identity, 0.0
    level = 1 + int(uniform(key, first + 2) * LEVELS)
    return op, value_at(op, level, uniform(key, first + 3) < 0.5)


@njit(**EXACT)
def cutout(image: Image, x_draw: float, y_draw: float) -> None:
    """Paint the square in place; the draws in [0, 1) choose its centre among the pixels."""
    height, width, _ = image.shape
    x, y, half = int(x_draw * width), int(y_draw * height), CUTOUT_SIDE // 2
    for row in range(max(0, y - half), min(height, y + half)):
        for column in range(max(0, x - half), min(width, x + half)):
            image[row, column, 0] = image[row, column, 1] = image[row, column, 2] = CUTOUT_GREY
