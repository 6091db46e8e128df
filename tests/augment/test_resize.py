"""Windows resized: bit-equal to Pillow; drawn: distributed as torchvision's RandomResizedCrop."""

import numpy as np
import PIL
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import stats
from torchvision.transforms import RandomResizedCrop

from pipeline.augment import resize
from pipeline.augment.resize import draw_window, resize_window
from pipeline.randomness import UNLABELLED, draw_key

BILINEAR = Image.Resampling.BILINEAR
Window = tuple[int, int, int, int]  # top, left, height, width


def noise(height: int, width: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def ours(image: np.ndarray, window: Window, side: int, flip: bool = False) -> np.ndarray:
    out = np.full((side, side, 3), 77, np.uint8)
    resize_window(image, *window, flip, out)
    return out


def cropped(image: np.ndarray, window: Window) -> Image.Image:
    top, left, height, width = window
    return Image.fromarray(image).crop((left, top, left + width, top + height))


def by_rows_then_columns(image: np.ndarray, window: Window, side: int) -> np.ndarray:
    """As one call of ``resize`` in every Pillow before 13; that one resizes columns first where it is cheaper."""
    cut = cropped(image, window)
    return np.asarray(cut.resize((side, cut.height), BILINEAR).resize((side, side), BILINEAR))


@st.composite
def windows(draw: st.DrawFn) -> tuple[np.ndarray, Window, int]:
    """An image of 8 to 256 pixels a side, not square as a rule, a window of it, and the side of the output."""
    height, width, side = (draw(st.integers(8, 256)) for _ in range(3))
    rows, columns = draw(st.integers(1, height)), draw(st.integers(1, width))
    top, left = draw(st.integers(0, height - rows)), draw(st.integers(0, width - columns))
    return noise(height, width, draw(st.integers(0, 2**32 - 1))), (top, left, rows, columns), side


@settings(max_examples=150)
@given(windows(), st.booleans())
def test_windows_equal_pillows(case: tuple[np.ndarray, Window, int], flip: bool) -> None:
    image, window, side = case
    before = image.copy()
    want = by_rows_then_columns(image, window, side)
    np.testing.assert_array_equal(ours(image, window, side, flip), want[:, ::-1] if flip else want)
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize("kind", ["noise", "white", "steps"])
def test_photo_sizes_equal_a_single_call_of_pillow(kind: str) -> None:
    """To the bit, but for Pillow 13 and later where a window shrinks in height: there within 1 of 255."""
    image = noise(256, 256, 0)
    image = np.full_like(image, 255) if kind == "white" else image // 128 * 255 if kind == "steps" else image
    for window in [(0, 0, 256, 256), (3, 9, 224, 224), (5, 0, 100, 131), (200, 17, 40, 64), (0, 20, 250, 200)]:
        want = np.asarray(cropped(image, window).resize((224, 224), BILINEAR)).astype(int)
        difference = np.abs(ours(image, window, 224) - want).max()
        rows_first = int(PIL.__version__.partition(".")[0]) < 13 or window[2] <= 224
        assert difference <= (0 if rows_first else 1), (window, difference)


def drawn(size: int, count: int) -> np.ndarray:
    """float64 [4, count]"""
    keys = (draw_key(0, UNLABELLED, 0, n, 1) for n in range(count))
    return np.array([draw_window(size, np.uint64(key)) for key in keys], np.float64).T


def test_windows_are_distributed_as_torchvisions() -> None:
    torch.manual_seed(0)
    image = torch.empty(3, 256, 256)
    theirs = [RandomResizedCrop.get_params(image, [0.08, 1.0], [3 / 4, 4 / 3]) for _ in range(4000)]
    ours, theirs = drawn(256, 4000), np.array(theirs, np.float64).T
    for mine, reference in zip(ours, theirs, strict=True):
        assert stats.ks_2samp(mine, reference).pvalue > 1e-3
    for quantity in (lambda w: w[2] * w[3], lambda w: w[2] / w[3], lambda w: w[0] / (257 - w[2])):
        assert stats.ks_2samp(quantity(ours), quantity(theirs)).pvalue > 1e-3
    top, left, height, width = ours
    assert ((top >= 0) & (left >= 0) & (top + height <= 256) & (left + width <= 256)).all()
    share, aspect = height * width / 256**2, width / height
    assert 0.078 < share.min() < 0.084 and 0.98 < share.max() <= 1  # of 4,000 draws
    assert 0.73 < aspect.min() < 0.76 and 1.31 < aspect.max() < 1.36
    assert abs(np.corrcoef(top / (257 - height), left / (257 - width))[0, 1]) < 4 / np.sqrt(4000)


def test_all_of_the_image_where_no_try_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resize, "TRIES", 0)
    assert draw_window.py_func(256, np.uint64(1)) == (0, 0, 256, 256)
