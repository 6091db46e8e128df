"""Files of arrays from strangers: no code is run, no number is guessed, and the message names the file."""

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.io import savemat

from dataprep.layouts.safe_pickle import load_arrays
from tests.support.dataprep_fixtures import make, nothing_left
from tests.support.native_fixtures import put_cifar, put_pickle, put_stl10, put_svhn

Output = pytest.CaptureFixture[str]


class Runs:
    """Unpickling it runs a shell command."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (self.command,)


class Reconstructs:
    """Unpickling it gives numpy a buffer of addresses as objects."""

    def __reduce__(self) -> tuple[Any, ...]:
        return np.ndarray, ((1,), np.dtype("O"), b"\x10" * 8)


@pytest.mark.parametrize("name", ["data_batch_5", "batches.meta"])
def test_no_code_of_a_file_is_run(tmp_path: Path, capsys: Output, name: str) -> None:
    put_cifar(tmp_path / "raw/cifar10", 10, 10)
    canary = tmp_path / "canary"
    crafted = pickle.dumps({b"data": Runs(f"touch {canary}"), b"labels": []}, protocol=2)
    (tmp_path / "raw/cifar10/cifar-10-batches-py" / name).write_bytes(crafted)
    assert make("cifar10", "--out", tmp_path) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and f"{name}: cannot be read" in error and "would call posix.system" in error
    assert not canary.exists() and nothing_left(tmp_path, "cifar10")
    pickle.loads(crafted)
    assert canary.exists(), "the canary must be one that sings"


@pytest.mark.parametrize("content", [Reconstructs(), {"data": Reconstructs()}, {"data": np.array([{}])}, [1], eval])
def test_other_content_is_refused(tmp_path: Path, content: object) -> None:
    (tmp_path / "file").write_bytes(pickle.dumps(content))
    with pytest.raises((pickle.UnpicklingError, TypeError)):
        load_arrays(tmp_path / "file")


@given(
    st.integers(2, 5),
    st.sampled_from(["uint8", "<i4", ">i8", "float32", "bool"]),
    st.lists(st.integers(0, 3), min_size=1, max_size=3),
    st.booleans(),
)
def test_arrays_survive(
    tmp_path_factory: pytest.TempPathFactory, protocol: int, kind: str, shape: list[int], fortran: bool
) -> None:
    file = tmp_path_factory.getbasetemp() / "survives"
    array = np.asarray(np.arange(np.prod(shape)).reshape(shape).astype(kind), order="F" if fortran else "C")
    file.write_bytes(pickle.dumps({b"data": array, "labels": [3, np.int64(4)], "name": b"x"}, protocol))
    found = load_arrays(file)
    assert found["labels"] == [3, 4] and found["name"] == b"x"
    assert found["data"].dtype == array.dtype and found["data"].shape == array.shape and (found["data"] == array).all()


def float_batch(root: Path) -> str:
    put_cifar(root / "raw/cifar10", 10, 10)
    content = {b"data": np.zeros((10, 3072), np.float32), b"labels": list(range(10))}
    put_pickle(root / "raw/cifar10/cifar-10-batches-py/data_batch_3", content)
    return "cifar10"


def short_batch(root: Path) -> str:
    put_cifar(root / "raw/cifar10", 10, 10)
    put_pickle(root / "raw/cifar10/cifar-10-batches-py/data_batch_3", {b"data": np.zeros((10, 99), np.uint8)})
    return "cifar10"


def double_images(root: Path) -> str:
    put_svhn(root / "raw/svhn", {"train": 20, "extra": 20, "test": 20})
    savemat(root / "raw/svhn/extra_32x32.mat", {"X": np.zeros((32, 32, 3, 5)), "y": np.ones((5, 1))})
    return "svhn"


def broken_label(root: Path) -> str:
    double_images(root)
    pixels = np.zeros((32, 32, 3, 3), np.uint8)
    savemat(root / "raw/svhn/extra_32x32.mat", {"X": pixels, "y": np.array([[1.0], [2.0], [3.7]])})
    return "svhn"


def unlabelled_test(root: Path) -> str:
    put_stl10(root / "raw/stl10", 20, 10)
    file = root / "raw/stl10/stl10_binary/test_y.bin"
    file.write_bytes(b"\0" + file.read_bytes()[1:])
    return "stl10"


def cut_images(root: Path) -> str:
    put_stl10(root / "raw/stl10", 20, 10)
    os.truncate(root / "raw/stl10/stl10_binary/unlabeled_X.bin", 5 * 27648 + 9)
    return "stl10"


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (float_batch, "data_batch_3: its pixels are float32, not uint8"),
        (short_batch, "data_batch_3: lacks labels"),
        (double_images, "extra_32x32.mat: its pixels are float64, not uint8"),
        (broken_label, "extra_32x32.mat: the label 3.7 is not a whole number"),
        (unlabelled_test, "label -1 among the 20 test images of 10 classes (test_X.bin, test_y.bin)"),
        (cut_images, "unlabeled_X.bin: 138,249 bytes are no whole number of images"),
    ],
)
def test_what_a_file_should_not_hold(tmp_path: Path, capsys: Output, damage: Callable[[Path], str], words: str) -> None:
    name = damage(tmp_path)
    assert make(name, "--out", tmp_path) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and words in error and nothing_left(tmp_path, name)


def test_whole_labels_may_be_doubles(tmp_path: Path) -> None:
    put_svhn(tmp_path / "raw/svhn", {"train": 50, "test": 30})
    pixels = np.zeros((32, 32, 3, 2), np.uint8)
    savemat(tmp_path / "raw/svhn/extra_32x32.mat", {"X": pixels, "y": np.array([[1.0], [10.0]])})
    assert make("svhn", "--out", tmp_path) == 0
