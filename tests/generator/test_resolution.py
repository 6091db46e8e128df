"""Reducing and enlarging: the digits' originals come back, areas are means, mistakes are named."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from pipeline.generator.resolution import Reduction, check_resolution, enlarge

DIGITS = np.repeat(np.rint(load_digits().images[:20] * (255 / 16)).astype(np.uint8)[..., None], 3, axis=3)


def reduced(how: str, images: np.ndarray, resolution: int) -> np.ndarray:
    """Pixels [N, R, R, 3], not rounded."""
    stored = torch.from_numpy(images).permute(0, 3, 1, 2)
    small = Reduction(how, resolution, images.shape[1], torch.device("cpu"))(stored)
    return ((small + 1) * 127.5).permute(0, 2, 3, 1).numpy()


def test_undoing_the_enlargement_gives_the_digits_back() -> None:
    """The mean of areas blurs them: by 18 of 255 levels."""
    stored = enlarge(DIGITS, 32)
    assert np.abs(reduced("undo_enlargement", stored, 8) - DIGITS).max() < 1.5
    assert np.abs(reduced("area", stored, 8) - DIGITS).mean() > 10


def test_an_area_is_its_mean_and_the_same_size_is_left_alone() -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 12, 12, 3), dtype=np.uint8)
    slow = images.reshape(2, 4, 3, 4, 3, 3).mean(axis=(2, 4))
    np.testing.assert_allclose(reduced("area", images, 4), slow, atol=1e-3)
    np.testing.assert_allclose(reduced("area", images, 12), images, atol=1e-4)
    assert enlarge(images, 12) is images


@pytest.mark.parametrize(
    ("resolution", "levels", "message"),
    [(10, 2, "resolution=10 does not divide the 32 px of the stored images: choose 4, 8, 16, 32"),
     (8, 5, "resolution=8 cannot be halved for 5 levels: choose a multiple of 16")],
)  # fmt: skip
def test_mistakes(resolution: int, levels: int, message: str) -> None:
    check_resolution(8, 32, 2, "resolution")
    with pytest.raises(ValueError, match=message):
        check_resolution(resolution, 32, levels, "resolution")
