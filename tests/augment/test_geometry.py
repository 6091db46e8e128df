"""Where an affine walk lies inside, and turns and shifts far beyond RandAugment's ranges, against Pillow."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pipeline.augment.geometry import _inside, crop, rotate, translate_x

fixed = st.integers(-(300 << 16), 300 << 16)
starts = fixed | st.integers(-60, 60).map(lambda pixels: pixels << 16)
steps = fixed | st.integers(-3, 3) | st.sampled_from([1 << 16, -1 << 16])


@settings(max_examples=500)
@given(starts, steps, st.integers(1, 256), st.integers(1, 60))
def test_inside_are_the_steps_that_lie_in_the_image(start: int, step: int, size: int, count: int) -> None:
    first, stop = _inside(start, step, size, count)
    assert 0 <= first <= count and 0 <= stop <= count
    assert list(range(first, stop)) == [i for i in range(count) if 0 <= start + i * step < size << 16]


@pytest.mark.parametrize("shape", [(20, 20, 3), (31, 18, 3), (224, 224, 3)])
def test_whole_turns_equal_pillow(shape: tuple[int, int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    out = np.empty_like(image)
    for degrees in (0.0, 37.5, 89.9, 91.0, 135.0, 179.0, 200.0, 300.1, -45.0):
        rotate(image, out, degrees)
        np.testing.assert_array_equal(out, Image.fromarray(image).rotate(degrees), err_msg=str(degrees))


def test_shifts_that_skip_a_column_equal_pillow() -> None:
    """Adding 1.0 to a coordinate just below a whole number rounds up at the next power of two."""
    image = np.random.default_rng(0).integers(1, 256, (20, 40, 3), dtype=np.uint8)
    out = np.empty_like(image)
    for pixels in (np.nextafter(7.5, 0), np.nextafter(-7.5, -9), np.nextafter(-0.5, -1), -1e-17, 40.0, -40.0, 39.6):
        translate_x(image, out, float(pixels))
        want = Image.fromarray(image).transform((40, 20), Image.Transform.AFFINE, (1, 0, pixels, 0, 1, 0))
        np.testing.assert_array_equal(out, want, err_msg=repr(pixels))


@pytest.mark.parametrize("flip", [False, True])
def test_windows_that_leave_the_image_are_reflected(flip: bool) -> None:
    image = np.random.default_rng(0).integers(0, 256, (12, 12, 3), dtype=np.uint8)
    padded = np.pad(image, ((11, 11), (11, 11), (0, 0)), mode="reflect")
    for side in (1, 5, 12, 30):
        for top, left in ((-11, -11), (-3, 4), (11 - side, -1), (0, 23 - side), (23 - side, 0)):
            window = padded[top + 11 : top + 11 + side, left + 11 : left + 11 + side]
            if window.shape[:2] != (side, side):
                continue
            out = np.full((side, side, 3), 7, np.uint8)
            crop(image, top, left, flip, out)
            np.testing.assert_array_equal(out, window[:, ::-1] if flip else window, err_msg=f"{side} {top} {left}")
