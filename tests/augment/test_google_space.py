"""Google's pool: its values written out, the pixels against Pillow, the draws against their frequencies."""

from collections import Counter

import numpy as np
import pytest
from PIL import Image
from scipy import stats

from pipeline.augment import google_space
from pipeline.augment.randaugment import OPERATIONS, rand_augment
from pipeline.randomness import UNLABELLED, draw_key, uniform
from tests.augment.test_randaugment import PILLOW, check, make_image

NAMES = [operation.name for operation in OPERATIONS]
IDENTITY = NAMES.index("identity")
SHIFTS = ("translate_x", "translate_y")


def reference_value(name: str, level: int, sign: int) -> float:
    """Written from the definition, without the table."""
    if name in ("brightness", "color", "contrast", "sharpness"):
        return level * 1.8 / 10 + 0.1
    values = {
        "posterize": 4 - int(0.4 * level),
        "rotate": sign * int(3.0 * level),
        "shear_x": sign * 0.3 * level / 10,
        "shear_y": sign * 0.3 * level / 10,
        "solarize": 256 - int(25.6 * level),
        "translate_x": sign * level,
        "translate_y": sign * level,
    }
    return values.get(name, 0)


def share(name: str, value: float, image: np.ndarray) -> float:
    """Shifts as fractions of the side, which is how apply_op and PILLOW take them."""
    return value / image.shape[name == "translate_x"] if name in SHIFTS else value


@pytest.mark.parametrize("name", NAMES)
def test_values_and_pixels_at_every_level(name: str) -> None:
    for seed, shape in enumerate([(32, 32), (8, 61), (45, 49)]):
        image = make_image("noise", *shape, seed)
        for level in range(1, 10):
            for sign in (1, -1):
                value = google_space.value_at(NAMES.index(name), level, sign < 0)
                assert value == pytest.approx(reference_value(name, level, sign), abs=1e-12)
                check(name, share(name, value, image), image)


@pytest.mark.parametrize("name", NAMES)
def test_extreme_levels_on_large_images(name: str) -> None:
    image = make_image("noise", 224, 256, 1)
    for negative in (False, True):
        check(name, share(name, google_space.value_at(NAMES.index(name), 9, negative), image), image)


@pytest.mark.parametrize("shape", [(32, 32), (8, 8), (20, 33), (224, 224)])
def test_cutout_is_a_square_cut_at_the_edges(shape: tuple[int, int]) -> None:
    height, width = shape
    for x_draw, y_draw in [(0.0, 0.0), (0.5, 0.5), (1 - 2**-53, 1 - 2**-53), (0.3, 0.99)]:
        image, want = np.zeros((2, height, width, 3), np.uint8)
        google_space.cutout(image, x_draw, y_draw)
        x, y = int(width * x_draw), int(height * y_draw)
        want[max(0, y - 8) : y + 8, max(0, x - 8) : x + 8] = 127
        np.testing.assert_array_equal(image, want)


def replay(image: np.ndarray, key: np.uint64, num_ops: int) -> np.ndarray:
    """The chain with Pillow from the same draws."""
    picture = Image.fromarray(image)
    for j in range(num_ops):
        op, applied, level, sign = (uniform(key, 100 + 4 * j + n) for n in range(4))
        name = NAMES[int(14 * op)]
        if applied < 0.5:
            value = reference_value(name, 1 + int(9 * level), -1 if sign < 0.5 else 1)
            picture = PILLOW[name](picture, share(name, value, image))
    out = np.asarray(picture).copy()
    google_space.cutout(out, uniform(key, 4), uniform(key, 5))
    return out


@pytest.mark.parametrize(("size", "samples", "num_ops"), [(32, 300, 2), (45, 60, 3), (224, 6, 2)])
def test_whole_chain_replayed_with_pillow(size: int, samples: int, num_ops: int) -> None:
    for index in range(samples):
        image = make_image("noise", size, size, index)
        key = np.uint64(draw_key(3, UNLABELLED, 8, index, 1))
        want = replay(image, key, num_ops)
        rand_augment(image, np.empty_like(image), key, num_ops, True)
        np.testing.assert_array_equal(image, want)


def test_draws_have_their_frequencies() -> None:
    keys = [np.uint64(draw_key(0, UNLABELLED, 0, n, 1)) for n in range(14_000)]
    drawn = [google_space.draw_operation(key, 1, IDENTITY) for key in keys]
    counts = np.bincount([op for op, _ in drawn], minlength=14)
    expected = np.full(14, 500.0)
    expected[IDENTITY] += 7000  # half of all are not applied
    assert stats.chisquare(counts, expected).pvalue > 1e-3
    degrees = Counter(value for op, value in drawn if NAMES[op] == "rotate")
    assert set(degrees) == {3.0 * level for level in range(-9, 10) if level}
    assert stats.chisquare(list(degrees.values())).pvalue > 1e-3
