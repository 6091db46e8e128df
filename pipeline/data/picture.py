"""Many images as one picture, for people to look at."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SMALLEST = 96  # pixels of a cell; small images are enlarged by whole numbers
GAP, GREY = 4, 128


def cell_side(size: int) -> int:
    """Pixels from one image of ``size`` pixels to the next."""
    return size * -(-SMALLEST // size) + GAP


def grid(images: NDArray[np.uint8], top: int = 0) -> Image.Image:
    """The cells of uint8 [rows, columns, S, S, 3] on grey, below ``top`` pixels for captions."""
    rows, columns, size = images.shape[:3]
    cell = cell_side(size)
    page = np.full((top + rows * cell + GAP, columns * cell + GAP, 3), GREY, np.uint8)
    zoom = (cell - GAP) // size
    for row in range(rows):
        for column in range(columns):
            y, x = top + GAP + row * cell, GAP + column * cell
            large = images[row, column].repeat(zoom, axis=0).repeat(zoom, axis=1)
            page[y : y + size * zoom, x : x + size * zoom] = large
    return Image.fromarray(page)
