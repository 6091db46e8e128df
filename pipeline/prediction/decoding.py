"""What a worker does: decodes some images as make_beton.py stores those of the test set. Imports no torch."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dataprep.images.decoding import Recipe, decode
from dataprep.images.failures import is_system_error, rejection_reason
from dataprep.sources.entries import Entry, Reader

AT_ONCE = 32  # images of a task: 6 MB of photos


class Decoded(NamedTuple):
    """Of some entries: `pixels` uint8 [n, S0, S0, 3] of those that could be read, by entry why the others could not."""

    pixels: NDArray[np.uint8]
    reasons: dict[int, str]


def recipe_of_test_images(stored_size: int) -> Recipe:
    """How test images are stored uncompressed: the shorter side scaled to `stored_size`, then the central square."""
    return Recipe(size=stored_size, encoding="raw", quality=0, resize="crop")


def decode_some(reader: Reader, recipe: Recipe, entries: list[Entry]) -> Decoded:
    """A failure on one image costs that image alone. OSError where the system as a whole fails."""
    pixels = np.empty((len(entries), recipe.size, recipe.size, 3), np.uint8)
    reasons: dict[int, str] = {}
    for number, entry in enumerate(entries):
        try:
            pixels[number - len(reasons)] = np.asarray(decode(reader.read(entry), recipe))
        except Exception as error:
            if is_system_error(error):
                raise
            reasons[number] = rejection_reason(error, entry)
    return Decoded(pixels[: len(entries) - len(reasons)], reasons)
