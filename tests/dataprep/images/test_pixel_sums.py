import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dataprep.images.pixel_sums import PixelSums, channel_statistics


@given(st.integers(1, 40), st.integers(0, 9), st.integers(0, 2**32 - 1))
def test_sums_are_those_of_the_pixels(side: int, count: int, seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (count, side, side, 3), np.uint8)
    sums = PixelSums(side)
    for image in pixels:
        sums.add(image.tobytes())
    wide = pixels.reshape(-1, 3).astype(np.int64)
    assert np.array_equal(sums.totals(), [wide.sum(0), (wide**2).sum(0)])


def test_large_images_and_small_ones_are_summed_alike() -> None:
    """Asking for totals in between counts nothing twice."""
    pixels = np.random.default_rng(0).integers(0, 256, (300, 300, 3), np.uint8)
    large, small = PixelSums(300), PixelSums(30)
    large.add(pixels.tobytes())
    for tile in pixels.reshape(10, 30, 10, 30, 3).swapaxes(1, 2).reshape(100, 30, 30, 3):
        small.add(tile.tobytes())
    small.totals()
    assert large.totals().dtype == np.int64
    assert np.array_equal(large.totals(), small.totals())


def test_no_sum_overflows() -> None:
    white = PixelSums(256)
    for _ in range(200):
        white.add(b"\xff" * 3 * 256**2)
    mean, std = channel_statistics(white.totals(), 200 * 256**2)
    assert mean == [1, 1, 1]
    assert std == [0, 0, 0]
