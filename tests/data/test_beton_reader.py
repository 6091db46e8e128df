"""FFCV's traps stay inside: small reads, ends, errors, threads, descriptors."""

import gc
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from pipeline import devices
from pipeline.data.beton_reader import BetonReader, Ints, cut


@pytest.fixture(scope="module")
def reader(data: Path) -> BetonReader:
    """Of the digits; a batch is (indices, one pixel row of each image)."""
    return BetonReader(str(data / "digits/train.beton"), 16, 1, lambda images, i: (i.copy(), images[:, 8].copy()))


def batches(*sizes: int) -> list[Ints]:
    return [np.random.default_rng(n).integers(0, 1297, size) for n, size in enumerate(sizes)]


def test_every_index_is_read_in_order_whatever_the_sizes(reader: BetonReader) -> None:
    """FFCV gives nothing at all where there are fewer indices than a batch holds."""
    asked = [*batches(16, 3, 1, 16, 7), np.full(5, 9)]
    got = list(reader.read(asked))
    assert [i.tolist() for i, _ in got] == [i.tolist() for i in asked]
    assert (got[-1][1] == got[-1][1][0]).all()
    alone = {int(i[0]): row for i, row in reader.read(cut(np.arange(1297), 1))}
    for indices, rows in got:
        np.testing.assert_array_equal(rows, np.concatenate([alone[int(i)] for i in indices]))


def test_nothing_to_read(reader: BetonReader) -> None:
    assert list(reader.read([])) == []
    assert [part.tolist() for part in cut(np.arange(5), 2)] == [[0, 1], [2, 3], [4]]


@pytest.mark.parametrize("wrong", [1297, -1, 10**12])
def test_an_index_that_the_file_lacks(reader: BetonReader, wrong: int) -> None:
    with pytest.raises(ValueError, match=rf"train\.beton: has images 0 to 1296, not {wrong};"):
        list(reader.read([np.array([0, wrong])]))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda whole: whole[: len(whole) // 2], r"broken\.beton: truncated or damaged"),
        (lambda whole: whole[:5], r"broken\.beton: not a beton of FFCV version 2"),
        (lambda whole: b"\3" + whole[1:], r"broken\.beton: not a beton of FFCV version 2"),
    ],
    ids=["truncated", "header cut", "another version"],
)
def test_a_broken_file(damage: Callable[[bytes], bytes], message: str, data: Path, tmp_path: Path) -> None:
    """FFCV's own words are "negative dimensions are not allowed", or an assertion."""
    broken = tmp_path / "broken.beton"
    broken.write_bytes(damage((data / "digits/test.beton").read_bytes()))
    with pytest.raises(ValueError, match=message):
        BetonReader(str(broken), 8, 1, lambda images, _: len(images))


def test_errors_while_the_order_is_drawn_arrive(reader: BetonReader) -> None:
    def failing() -> Iterator[Ints]:
        yield np.arange(4)
        raise OSError("no order")

    stream = reader.read(failing())
    assert next(stream)[0].tolist() == [0, 1, 2, 3]
    with pytest.raises(OSError, match="no order"):
        next(stream)


def test_leaving_early_ends_the_thread_without_reading_on(reader: BetonReader) -> None:
    """FFCV's own thread would read to the end of the order: here to the end of the run."""
    drawn = []

    def endless() -> Iterator[Ints]:
        while True:
            drawn.append(1)
            yield np.arange(16)

    before = threading.active_count()
    for _ in range(3):
        stream = reader.read(endless())
        next(stream)
        stream.close()
        assert threading.active_count() == before
    assert len(drawn) < 3 * 10


def test_ffcvs_thread_starts_on_the_gpu_of_its_rank(reader: BetonReader, monkeypatch: pytest.MonkeyPatch) -> None:
    """It goes back to the device where it started after each batch: on device 0 that would make a context there."""
    happened: list[tuple[str, int]] = []

    def drawn() -> Iterator[Ints]:
        happened.append(("order", threading.get_ident()))
        yield np.arange(4)

    monkeypatch.setattr(devices, "for_threads", lambda: lambda: happened.append(("device", threading.get_ident())))
    assert len(list(reader.read(drawn()))) == 1
    (first, thread), (second, same) = happened
    assert (first, second) == ("device", "order") and thread == same != threading.get_ident()


def test_fifty_readers_leave_no_thread_and_no_descriptor(data: Path) -> None:
    def held() -> tuple[int, int]:
        gc.collect()  # FFCV's loaders are cycles
        return threading.active_count(), len(list(Path("/proc/self/fd").iterdir()))

    def once(read: bool) -> None:
        reader = BetonReader(str(data / "digits/test.beton"), 8, 1, lambda images, _: len(images))
        assert list(reader.read([np.arange(8)] * read)) == [8] * read

    once(read=True)
    before = held()
    for n in range(50):
        once(read=n % 25 == 0)  # the first read of each compiles for a second
    assert held() == before


def test_two_readers_at_once(reader: BetonReader, data: Path) -> None:
    """Training stands between two batches while the test set is read."""
    test = BetonReader(str(data / "digits/test.beton"), 100, 2, lambda images, _: len(images))
    ours = reader.read(batches(*[16] * 6))
    counts = []
    for _ in ours:
        counts.append(sum(test.read(cut(np.arange(500), 100))))
    assert counts == [500] * 6
