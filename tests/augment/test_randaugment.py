"""Each pixel operation, Cutout and the whole chain against Pillow, bit for bit."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageEnhance, ImageOps

from pipeline.augment.randaugment import OPERATIONS, apply_op, cutout, rand_augment
from pipeline.randomness import UNLABELLED, draw_key, uniform

NAMES = [operation.name for operation in OPERATIONS]
BLENDS = ["brightness", "color", "contrast", "sharpness"]


def affine(image: Image.Image, *matrix: float) -> Image.Image:
    return image.transform(image.size, Image.Transform.AFFINE, matrix)


PILLOW: dict[str, Callable[[Image.Image, float], Image.Image]] = {
    "autocontrast": lambda image, _: ImageOps.autocontrast(image),
    "brightness": lambda image, value: ImageEnhance.Brightness(image).enhance(value),
    "color": lambda image, value: ImageEnhance.Color(image).enhance(value),
    "contrast": lambda image, value: ImageEnhance.Contrast(image).enhance(value),
    "equalize": lambda image, _: ImageOps.equalize(image),
    "identity": lambda image, _: image,
    "posterize": lambda image, value: ImageOps.posterize(image, int(value)),
    "rotate": lambda image, value: image.rotate(value),
    "sharpness": lambda image, value: ImageEnhance.Sharpness(image).enhance(value),
    "shear_x": lambda image, value: affine(image, 1, value, 0, 0, 1, 0),
    "shear_y": lambda image, value: affine(image, 1, 0, 0, value, 1, 0),
    "solarize": lambda image, value: ImageOps.solarize(image, value),
    "translate_x": lambda image, value: affine(image, 1, 0, value * image.width, 0, 1, 0),
    "translate_y": lambda image, value: affine(image, 1, 0, 0, 0, 1, value * image.height),
}


def make_image(kind: str, height: int, width: int, seed: int) -> np.ndarray:
    """uint8[height, width, 3] of one kind: noise, narrow (few neighbouring values), levels (two), constant."""
    rng = np.random.default_rng(seed)
    shape = (height, width, 3)
    if kind == "noise":
        return rng.integers(0, 256, shape, dtype=np.uint8)
    if kind == "narrow":
        low = rng.integers(0, 240, 3)
        return (low + rng.integers(0, 1 + rng.integers(1, 15), shape)).astype(np.uint8)
    two = rng.integers(0, 256, (2, 3), dtype=np.uint8)
    return two[rng.integers(0, 2, shape[:2])] if kind == "levels" else np.broadcast_to(two[0], shape).copy()


def check(name: str, value: float, image: np.ndarray) -> None:
    before, got = image.copy(), np.full_like(image, 77)
    apply_op(NAMES.index(name), float(value), image, got)
    want = np.asarray(PILLOW[name](Image.fromarray(image), value))
    np.testing.assert_array_equal(got, want, err_msg=f"{name} {value!r} {image.shape}")
    np.testing.assert_array_equal(image, before)


images = st.builds(
    make_image,
    st.sampled_from(["noise", "noise", "narrow", "levels", "constant"]),
    st.integers(8, 256),
    st.integers(8, 256),
    st.integers(0, 2**32 - 1),
)


@pytest.mark.parametrize("name", NAMES)
def test_operation_equals_pillow(name: str) -> None:
    """Blends also far above factor 1, where they extrapolate."""
    low, high = (0, 4) if name in BLENDS else next((o.low, o.high) for o in OPERATIONS if o.name == name)

    @given(images, st.floats(0, 1) | st.sampled_from([0.0, 0.5, 1.0]))
    def compare(image: np.ndarray, share: float) -> None:
        check(name, low + (high - low) * share, image)

    compare()


@pytest.mark.parametrize("name", NAMES)
def test_operation_equals_pillow_on_large_images(name: str) -> None:
    operation = OPERATIONS[NAMES.index(name)]
    for seed, share in enumerate((0.0, 0.137, 0.5, 0.81, 1.0)):
        for shape in ((224, 224), (256, 199)):
            value = operation.low + (operation.high - operation.low) * share
            check(name, value, make_image("noise", *shape, seed))


@pytest.mark.parametrize("name", BLENDS)
def test_blend_factors_outside_the_drawn_range(name: str) -> None:
    for seed, factor in enumerate((0.0, 0.01, 1.0, 1.05, 1.3, 1.9, 4.0)):
        for kind in ("noise", "levels"):
            check(name, factor, make_image(kind, 33, 40, seed))


def test_values_at_the_edge_of_rounding() -> None:
    image = make_image("noise", 20, 20, 0)
    for pixels in (0.5, 1.5, 2.5):
        for exact in (pixels, np.nextafter(pixels, 0), np.nextafter(pixels, 9)):
            for sign in (-1, 1):
                check("translate_x", sign * exact / 20, image)
                check("translate_y", sign * exact / 20, image)
    for threshold in (0, 1e-9, 127, 127.5, 128, 255, 255.5, 256):
        check("solarize", threshold, image)
    for slope in (0.2, -0.2, 1 / 7, -1 / 7, 0.04, 1e-5, -1e-5):  # 0.6 + 2 * 0.2 is 1 in fixed point, for one
        check("shear_x", slope, image)
        check("shear_y", slope, image)
    for degrees in (0, -1e-20, 1e-13, 15, 30, -30, 29.999999999999996):
        check("rotate", degrees, image)


def reference_cutout(image: Image.Image, size: float, x_draw: float, y_draw: float) -> Image.Image:
    """The references' Cutout on a Pillow image; the draws replace numpy's global generator."""
    width, height = image.size
    if size <= 0:
        return image
    side = size * width
    x, y = width + (1 - width) * x_draw, height + (1 - height) * y_draw
    x0, y0 = int(max(0, x - side / 2)), int(max(0, y - side / 2))
    box = (x0, y0, min(width, x0 + side), min(height, y0 + side))
    image = image.copy()
    ImageDraw.Draw(image).rectangle(box, (125, 123, 114))
    return image


draws = st.floats(0, 1, exclude_max=True) | st.sampled_from([0.0, 0.5, 1 - 2**-53])


@settings(max_examples=400)
@given(st.integers(8, 64), st.integers(8, 64), st.floats(0, 0.5), draws, draws)
def test_cutout_equals_a_drawn_rectangle(height: int, width: int, size: float, x: float, y: float) -> None:
    got = np.zeros((height, width, 3), np.uint8)
    want = np.asarray(reference_cutout(Image.fromarray(got), size, x, y))
    cutout(got, size, x, y)
    np.testing.assert_array_equal(got, want)


def replay(image: np.ndarray, key: int, num_ops: int) -> tuple[np.ndarray, list[str]]:
    """The chain with Pillow from the same draws, and the names of what was applied."""

    def draw(counter: int) -> float:
        return uniform(np.uint64(key), counter)

    picture, names = Image.fromarray(image), []
    for j in range(num_ops):
        operation = OPERATIONS[int(14 * draw(6 + 2 * j))]
        value = operation.low + (operation.high - operation.low) * draw(7 + 2 * j)
        picture = PILLOW[operation.name](picture, value)
        names.append(operation.name)
    return np.asarray(reference_cutout(picture, 0.5 * draw(3), draw(4), draw(5))), names


@pytest.mark.parametrize(("size", "samples", "num_ops"), [(32, 300, 3), (32, 20, 0), (45, 60, 2), (224, 6, 3)])
def test_whole_chain_replayed_with_pillow(size: int, samples: int, num_ops: int) -> None:
    seen: list[str] = []
    for index in range(samples):
        image = make_image("noise", size, size, index)
        key = draw_key(3, UNLABELLED, 8, index, 1)
        want, names = replay(image, key, num_ops)
        rand_augment(image, np.empty_like(image), np.uint64(key), num_ops, False)
        np.testing.assert_array_equal(image, want, err_msg=str(names))
        seen += names
    if samples * num_ops > 500:
        assert set(seen) == set(NAMES)
