"""Batch views against numpy's padding and against the single-image chain; independence of threads."""

import numba
import numpy as np
import pytest
from scipy import stats

from pipeline.augment import kernels
from pipeline.augment.kernels import Augmentation, center_crop, weak_and_strong_views, weak_views
from pipeline.augment.randaugment import rand_augment
from pipeline.augment.resize import draw_window, resize_window
from pipeline.randomness import LABELLED, UNLABELLED, draw_key, uniform, uniforms

SHAPES = [(32, 32, 4), (32, 32, 31), (28, 28, 3), (40, 33, 0), (19, 27, 7), (256, 224, 0), (96, 96, 12)]


def batch(size: int, count: int = 24) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(size)
    images = rng.integers(0, 256, (count, size, size, 3), dtype=np.uint8)
    return images, rng.integers(0, 50_000, count), rng.integers(0, 9, count)


def reference_crop(image: np.ndarray, key: int, side: int, padding: int, flip: bool) -> np.ndarray:
    """The padded image cut and mirrored, from the same draws."""
    padded = np.pad(image, ((padding, padding), (padding, padding), (0, 0)), mode="reflect")
    top, left = (int(uniform(np.uint64(key), c) * (padded.shape[0] - side + 1)) for c in (0, 1))
    window = padded[top : top + side, left : left + side]
    return window[:, ::-1] if flip and uniform(np.uint64(key), 2) < 0.5 else window


def both(
    size: int, side: int, padding: int, flip: bool, num_ops: int, seed: int = 4, **given: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    images, index, visit = given.values() if given else batch(size)
    weak, strong = (np.full((len(images), side, side, 3), 9, np.uint8) for _ in range(2))
    weak_and_strong_views(images, index, visit, seed, UNLABELLED, Augmentation(padding, flip, num_ops), weak, strong)
    return weak, strong


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize(("size", "side", "padding"), SHAPES)
def test_views_equal_pad_slice_mirror(size: int, side: int, padding: int, flip: bool) -> None:
    images, index, visit = batch(size)
    weak, strong = both(size, side, padding, flip, num_ops=3)
    alone = np.zeros_like(weak)
    weak_views(images, index, visit, 4, UNLABELLED, Augmentation(padding, flip), alone)
    for i, image in enumerate(images):
        keys = [draw_key(4, UNLABELLED, visit[i], index[i], view) for view in (0, 1)]
        want = np.ascontiguousarray(reference_crop(image, keys[0], side, padding, flip))
        np.testing.assert_array_equal(weak[i], want)
        np.testing.assert_array_equal(alone[i], want)
        want = np.ascontiguousarray(reference_crop(image, keys[1], side, padding, flip))
        rand_augment(want, np.empty_like(want), np.uint64(keys[1]), 3, False)
        np.testing.assert_array_equal(strong[i], want)


@pytest.mark.parametrize("google", [False, True])
@pytest.mark.parametrize(("size", "side"), [(256, 224), (40, 32)])
def test_resized_strong_views_equal_window_resize_mirror_augment(size: int, side: int, google: bool) -> None:
    """The weak view stays what it is; the strong one is a resized window, mirrored and augmented."""
    images, index, visit = batch(size, count=8)
    weak, strong = np.zeros((2, len(images), side, side, 3), np.uint8)
    how = Augmentation(padding=0, flip=True, operations=2, google=google, resized=True)
    weak_and_strong_views(images, index, visit, 4, UNLABELLED, how, weak, strong)
    np.testing.assert_array_equal(weak, both(size, side, 0, True, 2, images=images, index=index, visit=visit)[0])
    for i, image in enumerate(images):
        key = np.uint64(draw_key(4, UNLABELLED, visit[i], index[i], 1))
        want = np.empty((side, side, 3), np.uint8)
        resize_window(image, *draw_window(size, key), False, want)
        if uniform(key, 2) < 0.5:
            want = np.ascontiguousarray(want[:, ::-1])
        rand_augment(want, np.empty_like(want), key, 2, google)
        np.testing.assert_array_equal(strong[i], want)


def test_each_part_of_the_key_changes_the_views_and_nothing_else_does() -> None:
    images, index, visit = batch(32)
    images[:] = images[0]

    def view(index: np.ndarray, visit: np.ndarray, seed: int = 1, stream: int = LABELLED) -> np.ndarray:
        out = np.zeros_like(images)
        weak_views(images, index, visit, seed, stream, Augmentation(4, True), out)
        return out

    first = view(index, visit)
    np.testing.assert_array_equal(first, view(index, visit))
    order = np.random.default_rng(0).permutation(len(index))
    np.testing.assert_array_equal(first[order], view(index[order], visit[order]))
    others = [
        view(index + 1, visit),
        view(index, visit + 1),
        view(index, visit, 2),
        view(index, visit, 1, UNLABELLED),
    ]
    assert all((first != other).any(axis=(1, 2, 3)).mean() > 0.8 for other in others)


def test_same_bytes_with_one_and_two_threads() -> None:
    before = numba.get_num_threads()
    results = []
    try:
        for threads in (1, min(2, numba.config.NUMBA_NUM_THREADS)):
            numba.set_num_threads(threads)
            results.append(both(45, 45, 5, True, 3))
    finally:
        numba.set_num_threads(before)
    np.testing.assert_array_equal(results[0], results[1])


def test_crop_places_and_flips_are_uniform_and_views_independent() -> None:
    """A picture of its own coordinates tells where each window came from."""
    count, size = 20_000, 8
    grid = np.stack([*np.meshgrid(np.arange(size), np.arange(size), indexing="ij"), np.zeros((size, size))], axis=-1)
    images = np.broadcast_to(grid.astype(np.uint8), (count, size, size, 3)).copy()
    out = np.zeros((2, count, 4, 4, 3), np.uint8)
    index, visit = np.arange(count), np.zeros(count, np.int64)
    weak_and_strong_views(images, index, visit, 0, LABELLED, Augmentation(0, True, 0), out[0], out[1])
    weak = out[0].astype(int)
    top, left, mirrored = weak[:, 0, 0, 0], weak[:, 0, :, 1].min(axis=1), weak[:, 0, 0, 1] > weak[:, 0, 1, 1]
    for places, kinds in ((top, 5), (left, 5), (mirrored, 2), ((top * 5 + left) * 2 + mirrored, 50)):
        assert stats.chisquare(np.bincount(places.astype(int), minlength=kinds)).pvalue > 1e-3
    strong_top = (uniforms(0, LABELLED, visit, index, view=1, counter=0) * 5).astype(int)
    assert stats.chi2_contingency(np.histogram2d(top, strong_top, bins=5)[0]).pvalue > 1e-3


def test_center_crop_takes_the_middle() -> None:
    images, _, _ = batch(37)
    out = np.zeros((len(images), 32, 32, 3), np.uint8)
    center_crop(images, out)
    np.testing.assert_array_equal(out, images[:, 2:34, 2:34])


def test_wrong_arrays_are_refused() -> None:
    images, index, visit = batch(32)
    out = np.zeros_like(images)
    for arrays, padding in [
        ((images, index, visit, out), 32),
        ((images, index.astype(np.int32), visit, out), 4),
        ((images, index[:-1], visit, out), 4),
        ((images[:, ::-1], index, visit, out), 4),
        ((images.astype(np.float32), index, visit, out), 4),
    ]:
        with pytest.raises(AssertionError):
            weak_views(*arrays[:3], 0, LABELLED, Augmentation(padding, True), arrays[3])
    with pytest.raises(AssertionError):
        weak_and_strong_views(images, index, visit, 0, LABELLED, Augmentation(4, True), out, out)


def test_kernels_are_recompiled_when_a_helper_file_changes(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:  # type: ignore[no-untyped-def]
    """Numba's cache key must hold the text of every file whose helpers end up in the kernels."""
    before = kernels._sources()
    changed = tmp_path / "pixel_ops.py"
    changed.write_text("# changed")
    monkeypatch.setattr(kernels.pixel_ops, "__file__", str(changed))
    assert kernels._sources() != before
    cells = kernels._both_kernel.py_func.__closure__
    assert [cell.cell_contents for cell in cells] == [before]
