"""The FFCV streams on the real digits: pixels, order, validity of kept batches, ends and errors."""

import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from ffcv.reader import Reader

from pipeline import augment, config
from pipeline.data import Batch, EvalImages, TrainImages
from pipeline.dataset import Dataset, open_dataset
from pipeline.randomness import LABELLED, UNLABELLED
from pipeline.streams import Order, VirtualShards


@pytest.fixture(scope="module")
def digits(data: Path) -> Dataset:
    return open_dataset(config.load(None, ["dataset=digits", f"data={data}"]))


def images(dataset: Dataset, rank: int = 0, world: int = 1, threads: int = 1) -> TrainImages:
    shards = VirtualShards.of(dataset.num_train, 8, 24)
    order = Order(dataset.split, shards, (8, 24), True, False, 0, rank, world)
    return TrainImages(dataset, order, (8, 24), rank, world, 0, 3, threads)


def stored(dataset: Dataset, positions: np.ndarray) -> np.ndarray:
    """Pixels straight from the file, past FFCV's loader."""
    raw = np.memmap(dataset.train_beton, np.uint8, "r")
    pointers = Reader(str(dataset.train_beton)).metadata["f0"]["data_ptr"][positions]
    return np.stack([raw[p : p + 32 * 32 * 3].reshape(32, 32, 3) for p in pointers.astype(int)])


def key(batch: Batch) -> bytes:
    return b"".join(v.contiguous().numpy().tobytes() for v in batch.views)


def test_views_are_those_of_the_stored_images(digits: Dataset) -> None:
    for batch in images(digits).batches(3, 6):
        index, visit = batch.labelled_index, batch.labelled_visit
        weak = np.empty((8, 32, 32, 3), np.uint8)
        augment.weak_views(stored(digits, index), index, visit, 0, LABELLED, 4, False, weak)
        np.testing.assert_array_equal(batch.views.labelled.permute(0, 2, 3, 1).numpy(), weak)
        index, visit = batch.unlabelled_index, batch.unlabelled_visit
        weak, strong = np.empty((2, 24, 32, 32, 3), np.uint8)
        augment.weak_and_strong_views(stored(digits, index), index, visit, 0, UNLABELLED, 4, False, 3, weak, strong)
        np.testing.assert_array_equal(batch.views.weak.permute(0, 2, 3, 1).numpy(), weak)
        np.testing.assert_array_equal(batch.views.strong.permute(0, 2, 3, 1).numpy(), strong)
        assert batch.views.weak.is_contiguous(memory_format=torch.channels_last)


def test_kept_batches_stay_what_they_were(digits: Dataset) -> None:
    """FFCV's own buffers are overwritten after one further batch."""
    kept, keys = [], []
    for batch in images(digits).batches(0, 30):
        kept.append(batch)
        keys.append(key(batch))
    assert [key(b) for b in kept] == keys
    assert [b.step for b in kept] == list(range(30))
    assert len(set(keys)) == 30


def test_threads_ranks_and_restarts_change_nothing(digits: Dataset) -> None:
    alone = list(images(digits).batches(0, 12))
    two_threads = list(images(digits, threads=2).batches(0, 12))
    restarted = [*images(digits).batches(0, 5), *images(digits).batches(5, 12)]
    for other in (two_threads, restarted):
        assert [key(b) for b in other] == [key(b) for b in alone]
    halves = [list(images(digits, rank, 2).batches(0, 12)) for rank in (0, 1)]
    for whole, *parts in zip(alone, *halves, strict=True):
        for i, name in enumerate(("labelled", "weak", "strong")):
            joined = torch.cat([p.views[i] for p in parts])
            assert torch.equal(joined, whole.views[i]), name


def test_chunks_join_without_a_gap(digits: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = [key(b) for b in images(digits).batches(0, 10)]
    monkeypatch.setattr("pipeline.data.CHUNK", 4)
    assert [key(b) for b in images(digits).batches(0, 10)] == expected


def test_leaving_early_leaks_no_thread(digits: Dataset) -> None:
    stream = images(digits)
    before = threading.active_count()
    for _ in range(5):
        for _batch in stream.batches(0, 100):
            break
    assert threading.active_count() == before


def test_an_error_in_the_loader_reaches_the_loop(digits: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """Raised in FFCV's thread it would hang the run."""
    stream = images(digits)

    def fail(*_: object) -> None:
        raise OSError("disk gone")

    monkeypatch.setattr(augment, "weak_and_strong_views", fail)
    with pytest.raises(OSError, match="disk gone"):
        next(stream.batches(0, 3))


@pytest.mark.parametrize("world", [1, 2, 3, 7])
def test_every_test_image_once(digits: Dataset, world: int) -> None:
    reader = Reader(str(digits.test_beton))
    parts = [EvalImages(digits, 64, rank, world, 1) for rank in range(world)]
    assert np.concatenate([p.mine for p in parts]).tolist() == list(range(500))
    if world == 3:
        got = torch.cat([b for p in parts for b in p.batches()])
        raw = np.memmap(digits.test_beton, np.uint8, "r")
        pointers = reader.metadata["f0"]["data_ptr"].astype(int)
        expected = np.stack([raw[p : p + 3072].reshape(32, 32, 3) for p in pointers])
        np.testing.assert_array_equal(got.permute(0, 2, 3, 1).numpy(), expected)
    np.testing.assert_array_equal(parts[0].labels, reader.metadata["f1"])
