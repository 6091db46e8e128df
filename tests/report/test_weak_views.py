"""Weak views of evaluated images: those of the kernels that training uses, a function of (seed, index, visit) alone."""

from pathlib import Path

import numpy as np

from pipeline.augment import kernels
from pipeline.augment.kernels import Augmentation
from pipeline.data.central_crops import CentralCrops
from pipeline.randomness import EVALUATED
from pipeline.report.weak_views import WeakViews

HOW = Augmentation(padding=2, flip=True)
SIDE = 16  # of the digits in tests


def views(data: Path, visit: int, batch: int, indices: np.ndarray | None = None, seed: int = 3) -> np.ndarray:
    beton = data / "digits" / "test.beton"
    read = WeakViews(beton, SIDE, HOW, batch, 1, indices=indices, seed=seed, visit=visit)
    found = np.concatenate([each.permute(0, 2, 3, 1).numpy() for each in read.batches()])
    assert len(found) == len(read.slices[0])
    return found


def test_views_are_the_kernels(data: Path) -> None:
    crops = CentralCrops(data / "digits" / "test.beton", SIDE, 100, 1)
    whole = np.concatenate([each.permute(0, 2, 3, 1).numpy() for each in crops.batches()])
    index, visits, expected = np.arange(len(whole)), np.full(len(whole), 5), np.empty_like(whole)
    kernels.weak_views(np.ascontiguousarray(whole), index, visits, 3, EVALUATED, HOW, expected)
    found = views(data, 5, 128)
    np.testing.assert_array_equal(found, expected)
    assert (found != whole).any(axis=(1, 2, 3)).mean() > 0.9


def test_seed_index_and_visit_decide_and_nothing_else(data: Path) -> None:
    found, some = views(data, 0, 128), np.array([400, 7, 8])
    np.testing.assert_array_equal(views(data, 0, 2, some), found[some])
    for other in (views(data, 1, 128), views(data, 0, 128, seed=4)):
        assert (other != found).any(axis=(1, 2, 3)).mean() > 0.9
