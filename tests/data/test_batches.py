"""The FFCV streams on the real digits: pixels, order, validity of kept batches, ends and errors."""

import hashlib
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from ffcv.reader import Reader

from pipeline import config, train
from pipeline.augment import kernels
from pipeline.augment.kernels import Augmentation
from pipeline.config.sections import AugmentConfig
from pipeline.data.batches import Batch, HostPart, PartSource, TrainImages, augmentation, part_sources
from pipeline.data.central_crops import CentralCrops
from pipeline.data.dataset import Dataset, open_dataset
from pipeline.data.streams import VirtualShards, labelled_order, unlabelled_order
from pipeline.randomness import LABELLED, UNLABELLED


@pytest.fixture(scope="module")
def digits(data: Path) -> Dataset:
    return open_dataset(config.load(None, ["dataset=digits", f"data={data}"]))


PADDED = Augmentation(padding=4, flip=False)


def images(
    dataset: Dataset, rank: int = 0, world: int = 1, threads: int = 1, batches: tuple[int, int] = (8, 24)
) -> TrainImages:
    shards = VirtualShards.of(dataset.num_train, *batches)
    who = 0, rank, world
    labelled = labelled_order(dataset.split, shards, batches[0], *who, sharded=False)
    unlabelled = unlabelled_order(dataset.split[:0], shards, batches[1], *who)
    sources = {
        "labelled": PartSource(dataset.train_beton, labelled, LABELLED, strong=False),
        "unlabelled": PartSource(dataset.train_beton, unlabelled, UNLABELLED, strong=True),
    }
    return TrainImages(sources, dataset.image_size, augmentation(dataset, AugmentConfig()), 0, threads)


@pytest.mark.parametrize("world", [1, 2])
@pytest.mark.parametrize("algorithm", ["supervised", "fixmatch"])
def test_validation_images_never_enter_training(data: Path, algorithm: str, world: int) -> None:
    """Two epochs of 1,200 images and what the ranks draw together: every other image, and none of those."""
    sets = ["dataset=digits", f"data={data}", f"algorithm={algorithm}", "labels=all", "batch.labelled=16"]
    given = config.load(None, [*sets, "validation=97", "batch.ratio=1"])
    dataset = open_dataset(given)
    shards = VirtualShards.of(dataset.num_train, 16, given.unlabelled_batch)
    seen = {"labelled": set[int](), "unlabelled": set[int]()}
    for rank in range(world):
        for name, source in part_sources(given, dataset, shards, rank, world).items():
            seen[name] |= set(source.order.draw(0, 2 * 1200 // 16)[0].flatten().tolist())
    held = set(dataset.not_unlabelled(True).tolist())
    assert len(held) == 97 and not held & (seen["labelled"] | seen["unlabelled"])
    assert len(seen["labelled"]) == 1200
    assert len(seen["unlabelled"]) == (1200 if algorithm == "fixmatch" else 0)


@pytest.mark.parametrize("world", [1, 2])
def test_validation_images_may_go_through_the_unlabelled_stream_alone(data: Path, world: int) -> None:
    sets = ["dataset=digits", f"data={data}", "labels=4", "batch.labelled=16", "batch.ratio=1", "validation=97"]
    given = config.load(None, [*sets, "unlabelled.include_validation=true"])
    dataset = open_dataset(given)
    shards = VirtualShards.of(dataset.num_train, 16, 16)
    parts = [part_sources(given, dataset, shards, rank, world) for rank in range(world)]
    seen = {n: {i for p in parts for i in p[n].order.draw(0, 2 * 1297 // 16)[0].flatten().tolist()} for n in parts[0]}
    held = set(dataset.not_unlabelled(True).tolist())
    assert not held & seen["labelled"] and seen["unlabelled"] == set(range(1297))


def stored(dataset: Dataset, positions: np.ndarray) -> np.ndarray:
    """Pixels straight from the file, past FFCV's loader."""
    raw = np.memmap(dataset.train_beton, np.uint8, "r")
    pointers = Reader(str(dataset.train_beton)).metadata["f0"]["data_ptr"][positions]
    return np.stack([raw[p : p + 32 * 32 * 3].reshape(32, 32, 3) for p in pointers.astype(int)])


def key(batch: Batch) -> bytes:
    labelled, unlabelled = batch.parts["labelled"], batch.parts["unlabelled"]
    assert labelled.strong is None and unlabelled.strong is not None
    views = labelled.weak, unlabelled.weak, unlabelled.strong
    return b"".join(v.contiguous().numpy().tobytes() for v in views)


def test_views_are_those_of_the_stored_images(digits: Dataset) -> None:
    for batch in images(digits).batches(3, 6):
        part = batch.parts["labelled"]
        index, visit = part.index, part.visit
        weak = np.empty((8, 32, 32, 3), np.uint8)
        kernels.weak_views(stored(digits, index), index, visit, 0, LABELLED, PADDED, weak)
        np.testing.assert_array_equal(part.weak.permute(0, 2, 3, 1).numpy(), weak)
        part = batch.parts["unlabelled"]
        index, visit = part.index, part.visit
        weak, strong = np.empty((2, 24, 32, 32, 3), np.uint8)
        kernels.weak_and_strong_views(stored(digits, index), index, visit, 0, UNLABELLED, PADDED, weak, strong)
        np.testing.assert_array_equal(part.weak.permute(0, 2, 3, 1).numpy(), weak)
        np.testing.assert_array_equal(part.strong.permute(0, 2, 3, 1).numpy(), strong)
        assert part.weak.is_contiguous(memory_format=torch.channels_last)


def test_kept_batches_stay_what_they_were(digits: Dataset) -> None:
    """FFCV's own buffers are overwritten after one further batch."""
    kept, keys = [], []
    for batch in images(digits).batches(0, 30):
        kept.append(batch)
        keys.append(key(batch))
    assert [key(b) for b in kept] == keys
    assert [b.step for b in kept] == list(range(30))
    assert len(set(keys)) == 30


def digest(batches: Iterable[Batch]) -> str:
    """Of all pixels and positions in order."""
    total = hashlib.sha256()
    for batch in batches:
        total.update(key(batch) + b"".join(part.index.tobytes() for part in batch.parts.values()))
    return total.hexdigest()


def test_ten_epochs_have_one_hash(digits: Dataset) -> None:
    """On 1 thread, on 2, and of 2 ranks put together."""
    steps = 10 * digits.num_train // 24
    want = digest(images(digits).batches(0, steps))
    assert digest(images(digits, threads=2).batches(0, steps)) == want
    halves = zip(*(images(digits, rank, 2).batches(0, steps) for rank in (0, 1)), strict=True)
    assert digest(joined(*both) for both in halves) == want


def note_batches(data: Path, log: Path, first: int, steps: int, pause: float) -> None:
    """A line (step, hash) in ``log`` for each batch, as soon as it is there; then a pause of some seconds."""
    digits = open_dataset(config.load(None, ["dataset=digits", f"data={data}"]))
    with log.open("a", buffering=1) as lines:
        for batch in images(digits).batches(first, steps):
            lines.write(f"{batch.step} {digest([batch])}\n")
            time.sleep(pause)


@pytest.mark.slow
def test_a_killed_process_and_its_successor_read_what_one_would(digits: Dataset, data: Path, tmp_path: Path) -> None:
    """kill -9 in the middle of ten epochs; the next process knows how far the log reaches, and nothing else."""
    steps, log = 10 * digits.num_train // 24, tmp_path / "log"
    first = multiprocessing.get_context("spawn").Process(target=note_batches, args=(data, log, 0, steps, 0.02))
    first.start()
    while not log.exists() or log.read_text().count("\n") < 100:
        assert first.is_alive()
        time.sleep(0.01)
    os.kill(first.pid, signal.SIGKILL)
    first.join()
    whole = log.read_text().rpartition("\n")[0].splitlines()  # the last line may be cut
    assert 100 <= len(whole) < steps and first.exitcode == -signal.SIGKILL
    log.write_text("".join(line + "\n" for line in whole))
    note_batches(data, log, len(whole), steps, 0)  # this process is the successor
    assert log.read_text().splitlines() == [f"{b.step} {digest([b])}" for b in images(digits).batches(0, steps)]


def joined(zero: Batch, one: Batch) -> Batch:
    """The global batch of two ranks' parts; labelled indices are the global batch's already."""
    parts = {}
    for name, part in zero.parts.items():
        other = one.parts[name]
        views = (
            None if a is None else torch.cat([a, b]) for a, b in ((part.weak, other.weak), (part.strong, other.strong))
        )
        index = part.index if name == "labelled" else np.concatenate([part.index, other.index])
        parts[name] = HostPart(index, part.visit, part.rows, *views)
    return replace(zero, parts=parts)


def test_memory_and_threads_stay_flat_over_fifty_epochs(digits: Dataset) -> None:
    """Resident memory after 10 epochs and after 50; one thread of FFCV's while it reads."""
    epoch, before = digits.num_train // 96, threading.active_count()
    page = os.sysconf("SC_PAGE_SIZE")
    resident, threads = [], set()
    for batch in images(digits, batches=(8, 96)).batches(0, 50 * epoch):
        if batch.step % epoch == epoch - 1:
            resident.append(int(Path("/proc/self/statm").read_text().split()[1]) * page)
            threads.add(threading.active_count())
    assert max(resident[10:]) - max(resident[:10]) < 2**20 * 16
    assert max(threads) <= before + 1 and threading.active_count() == before


def test_a_batch_larger_than_the_data_repeats_images(digits: Dataset) -> None:
    """Positions of later visits, with augmentations of their own, and every image as often as any other."""
    few = replace(digits, num_train=10, split=np.array([2, 3, 7]))
    part = next(iter(images(few, batches=(8, 24)).batches(0, 1))).parts["unlabelled"]
    assert sorted(np.bincount(part.index).tolist()) == [2] * 6 + [3] * 4
    assert len(np.unique(np.stack([part.index, part.visit]), axis=1).T) == 24
    views = {part.strong[i].numpy().tobytes() for i in range(24)}
    assert len(views) == 24


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["batch.labelled=256"], "1792 unlabelled images a step, but the data set has only 1297"),
        (
            ["labels=all", "unlabelled.include_labelled=false"],
            "448 unlabelled images a step, but the data set has only 0",
        ),
    ],
)
def test_a_batch_larger_than_the_data_is_refused(
    settings: list[str], message: str, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before any process group or file exists."""
    given = ["dataset=digits", f"data={data}", f"out={tmp_path / 'run'}", *settings]
    assert train.main(["--set", *given]) == 2
    said = capsys.readouterr().err
    assert message in said and said.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_supervised_batches_hold_labelled_images_alone(digits: Dataset) -> None:
    """U = 0: nothing unlabelled is decoded, and the labelled views are those of any other batch size."""
    stream = images(digits, batches=(8, 0))
    assert [file.reader.loader.batch_size for file in stream.files] == [8]
    for batch, usual in zip(stream.batches(3, 9), images(digits).batches(3, 9), strict=True):
        assert torch.equal(batch.parts["labelled"].weak, usual.parts["labelled"].weak)
        part = batch.parts["unlabelled"]
        assert part.weak.shape == part.strong.shape == (0, 3, 32, 32)
        assert part.weak.is_contiguous(memory_format=torch.channels_last)
        assert len(part.index) == len(part.visit) == len(part.rows) == 0


def test_rows_are_those_of_the_parts_tables(digits: Dataset) -> None:
    stream = images(digits, rank=1, world=2)
    shards = VirtualShards.of(digits.num_train, 8, 24)
    for batch in stream.batches(0, 5):
        labelled, unlabelled = batch.parts["labelled"], batch.parts["unlabelled"]
        np.testing.assert_array_equal(unlabelled.rows, shards.row_of(unlabelled.index, 1, 2))
        np.testing.assert_array_equal(digits.split[labelled.rows], labelled.index)


def test_a_second_beton_is_one_more_part(digits: Dataset) -> None:
    """Its images come from its own file and order; the other parts stay what they are without it."""
    settings = config.load(None, ["dataset=digits", "batch.labelled=8", "batch.ratio=3"])
    sources = part_sources(settings, digits, VirtualShards.of(digits.num_train, 8, 24))
    test_images = np.arange(500)
    order = labelled_order(test_images, VirtualShards.of(500, 4, 0), 4, 0, 0, 1, sharded=False)
    more = {**sources, "extra": PartSource(digits.test_beton, order, 9, strong=False)}
    how = augmentation(digits, settings.augment)
    stream = TrainImages(more, 32, how, 0, 1)
    assert len(stream.files) == 2
    raw = np.memmap(digits.test_beton, np.uint8, "r")
    pointers = Reader(str(digits.test_beton)).metadata["f0"]["data_ptr"].astype(int)
    for batch, usual in zip(stream.batches(3, 6), TrainImages(sources, 32, how, 0, 1).batches(3, 6), strict=True):
        assert batch.step == usual.step and key(batch) == key(usual)
        part = batch.parts["extra"]
        pixels = np.stack([raw[p : p + 3072].reshape(32, 32, 3) for p in pointers[part.index]])
        weak = np.empty((4, 32, 32, 3), np.uint8)
        kernels.weak_views(pixels, part.index, part.visit, 0, 9, how, weak)
        np.testing.assert_array_equal(part.weak.permute(0, 2, 3, 1).numpy(), weak)


def test_chunks_join_without_a_gap(digits: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = [key(b) for b in images(digits).batches(0, 10)]
    monkeypatch.setattr("pipeline.data.batches.CHUNK", 4)
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

    monkeypatch.setattr(kernels, "weak_and_strong_views", fail)
    with pytest.raises(OSError, match="disk gone"):
        next(stream.batches(0, 3))


@pytest.mark.parametrize("world", [1, 2, 3, 7])
def test_every_test_image_once(digits: Dataset, world: int) -> None:
    reader = Reader(str(digits.test_beton))
    parts = [CentralCrops(digits.test_beton, 32, 64, 1, rank=rank, world=world) for rank in range(world)]
    assert np.concatenate([p.mine for p in parts]).tolist() == list(range(500))
    if world == 3:
        got = torch.cat([b for p in parts for b in p.batches()])
        raw = np.memmap(digits.test_beton, np.uint8, "r")
        pointers = reader.metadata["f0"]["data_ptr"].astype(int)
        expected = np.stack([raw[p : p + 3072].reshape(32, 32, 3) for p in pointers])
        np.testing.assert_array_equal(got.permute(0, 2, 3, 1).numpy(), expected)
    np.testing.assert_array_equal(parts[0].labels, reader.metadata["f1"])


@pytest.mark.parametrize(
    ("stored", "settings", "resized", "google"),
    [
        (32, [], False, False),
        (40, [], True, False),
        (40, ["augment.strong_crop=window"], False, False),
        (32, ["augment.strong_crop=resized", "augment.space=google"], True, True),
    ],
)
def test_what_the_options_amount_to(
    stored: int, settings: list[str], resized: bool, google: bool, digits: Dataset
) -> None:
    chosen = config.load(None, ["dataset=x", "augment.operations=2", *settings]).augment
    how = augmentation(replace(digits, stored_size=stored, flip=True), chosen)
    assert how == Augmentation(digits.crop_padding, True, 2, google, resized)
