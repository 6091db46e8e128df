"""CIFAR, SVHN and STL-10 from files in their native formats."""

import tarfile
import threading
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from dataprep import svhn
from dataprep.catalog import DATASETS
from tests.support.dataprep_fixtures import fingerprint, make, nothing_left, read_manifest
from tests.support.native_fixtures import check_raw, evaluated, loaded, opened, put_cifar, put_stl10, put_svhn

Output = pytest.CaptureFixture[str]


def check_set(folder: Path, size: int, train: list, test: list) -> None:
    """Images, labels and manifest of a finished folder against what was written into the native files."""
    check_raw(*loaded(folder / "train.beton"), train)
    check_raw(*evaluated(folder), test)
    content = read_manifest(folder)
    assert (content["image_size"], content["stored_size"], content["crop_padding"]) == (size, size, size // 8)
    assert content["writer"]["encoding"] == "raw" and content["flip"] is True
    labels = np.array([label for _, label in train])
    assert content["counts"]["train"] == len(train) and content["counts"]["test"] == len(test)
    assert content["counts"]["unlabelled"] == (labels < 0).sum()
    assert content["counts"]["train_per_class"] == np.bincount(labels[labels >= 0]).tolist()
    images = np.stack([image for image, _ in train])
    np.testing.assert_allclose(content["mean"], images.mean((0, 1, 2)) / 255, rtol=1e-12)
    np.testing.assert_allclose(content["std"], images.std((0, 1, 2)) / 255, rtol=1e-9)


def split_names(folder: Path) -> set[str]:
    return {name.removesuffix("-seed0") for name in read_manifest(folder)["splits"] if name.endswith("-seed0")}


def test_cifar10(tmp_path: Path, capsys: Output) -> None:
    written = put_cifar(tmp_path / "raw/cifar10", 10, 60)
    assert make("cifar10", "--out", tmp_path) == 0
    said = capsys.readouterr().out
    assert "not the official files" in said and "train images: 300, 49,700 fewer than the official 50,000" in said
    check_set(tmp_path / "cifar10", 32, written["train"], written["test"])
    assert read_manifest(tmp_path / "cifar10")["classes"] == [f"class {c}" for c in range(10)]
    assert split_names(tmp_path / "cifar10") == {"4", "25", "10pct", "10pct-balanced", "all"}
    assert len(opened(tmp_path / "cifar10", "25").split) == 250


def test_cifar100_uses_fine_labels(tmp_path: Path) -> None:
    written = put_cifar(tmp_path / "raw/cifar100", 100, 400)
    assert make("cifar100", "--out", tmp_path) == 0
    check_set(tmp_path / "cifar100", 32, written["train"], written["test"])
    assert split_names(tmp_path / "cifar100") == {"4", "10pct", "10pct-balanced", "all"}


@pytest.mark.parametrize("where", ["in the source", "as the source", "its folder as the source"])
def test_the_distributed_archive_gives_the_same(tmp_path: Path, where: str) -> None:
    put_cifar(tmp_path / "raw/cifar10", 10, 20)
    folder = tmp_path / "raw/cifar10/cifar-10-batches-py"
    other = tmp_path / "elsewhere"
    other.mkdir()
    with tarfile.open(other / "cifar-10-python.tar.gz", "w:gz") as tar:
        tar.add(folder, "cifar-10-batches-py")
    sources = {"in the source": other, "as the source": other / "cifar-10-python.tar.gz"}
    assert make("cifar10", "--out", tmp_path) == 0
    assert make("cifar10", "--out", other, "--source", sources.get(where, folder)) == 0
    assert fingerprint(other / "cifar10") == fingerprint(tmp_path / "cifar10")


def test_svhn_merges_extra(tmp_path: Path, capsys: Output) -> None:
    written = put_svhn(tmp_path / "raw/svhn", {"train": 50, "extra": 70, "test": 30})
    assert make("svhn", "--out", tmp_path) == 0
    assert "extra images: 70, 531,061 fewer" in capsys.readouterr().out
    check_set(tmp_path / "svhn", 32, written["train"] + written["extra"], written["test"])
    assert read_manifest(tmp_path / "svhn")["classes"] == list("0123456789")
    assert make("svhn", "--out", tmp_path, "--no-extra") == 2  # these are other images
    (tmp_path / "raw/svhn/extra_32x32.mat").unlink()
    assert make("svhn", "--out", tmp_path / "small", "--source", tmp_path / "raw/svhn", "--no-extra", "--no-flip") == 0
    content = read_manifest(tmp_path / "small/svhn")
    assert (content["counts"]["train"], content["flip"]) == (50, False)


def test_stl10_keeps_unlabelled_images(tmp_path: Path) -> None:
    written = put_stl10(tmp_path / "raw/stl10", 50, 30)
    assert make("stl10", "--out", tmp_path) == 0
    check_set(tmp_path / "stl10", 96, written["train"] + written["unlabeled"], written["test"])
    assert split_names(tmp_path / "stl10") == {"4", "10pct", "10pct-balanced", "all"}
    seen = opened(tmp_path / "stl10")
    assert len(seen.split) == 50 and (seen.train_labels >= 0).all()


def test_a_second_run_reads_nothing(tmp_path: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    put_cifar(tmp_path / "raw/cifar10", 10, 10)
    assert make("cifar10", "--out", tmp_path) == 0
    with monkeypatch.context() as patch:
        patch.setitem(DATASETS, "cifar10", replace(DATASETS["cifar10"], list=lambda request: 1 / 0))
        assert make("cifar10", "--out", tmp_path) == 0
        assert capsys.readouterr().out.endswith("already made, nothing to add\n")
        (tmp_path / "raw").rename(tmp_path / "gone")
        assert make("cifar10", "--out", tmp_path, "--seeds", 7) == 0
        assert "already made, added 4 splits: 4-seed7" in capsys.readouterr().out
    put_cifar(tmp_path / "raw/cifar10", 10, 11)
    assert make("cifar10", "--out", tmp_path) == 2
    assert "its images are others" in capsys.readouterr().err


def test_missing_files_are_named(tmp_path: Path, capsys: Output) -> None:
    put_cifar(tmp_path / "source", 10, 10)
    (tmp_path / "source/cifar-10-batches-py/data_batch_3").unlink()
    assert make("cifar10", "--out", tmp_path, "--source", tmp_path / "source") == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1 and "data_batch_3 missing" in message and "data_batch_1" not in message
    assert "cifar-10-python.tar.gz" in message and nothing_left(tmp_path, "cifar10")


def test_damaged_files(tmp_path: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    put_svhn(tmp_path / "source", {"train": 20, "test": 20})
    options = ("svhn", "--out", tmp_path, "--source", tmp_path / "source", "--no-extra")
    monkeypatch.setitem(svhn.OFFICIAL, "train", 20)
    assert make(*options) == 2  # all images there, but another checksum
    message = capsys.readouterr().err
    assert "train_32x32.mat has as many images as the official file but another checksum" in message
    file = tmp_path / "source/train_32x32.mat"
    file.write_bytes(file.read_bytes()[:5000])
    assert make(*options) == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1 and "can't be read as SVHN" in message and nothing_left(tmp_path, "svhn")


def test_download(tmp_path: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    from torchvision.datasets import CIFAR10
    from torchvision.datasets.utils import calculate_md5

    written = put_cifar(tmp_path / "server", 10, 10)
    handler = partial(SimpleHTTPRequestHandler, directory=tmp_path / "server")
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    archive = tmp_path / "server/cifar-10-python.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(tmp_path / "server/cifar-10-batches-py", "cifar-10-batches-py")
    monkeypatch.setattr(CIFAR10, "url", f"http://127.0.0.1:{server.server_port}/{archive.name}")
    assert make("cifar10", "--out", tmp_path) == 2  # not the official checksum
    message = capsys.readouterr().err.splitlines()[-1]
    assert "can't be downloaded" in message and "or cifar-10-python.tar.gz into" in message
    assert not list((tmp_path / "raw/cifar10").iterdir()) and nothing_left(tmp_path, "cifar10")
    monkeypatch.setattr(CIFAR10, "tgz_md5", calculate_md5(archive))
    assert make("cifar10", "--out", tmp_path) == 0
    assert read_manifest(tmp_path / "cifar10")["counts"]["train"] == len(written["train"])
    assert [folder.name for folder in (tmp_path / "raw/cifar10").iterdir()] == ["cifar-10-batches-py"]
    server.shutdown()
    server.server_close()
    assert make("cifar10", "--out", tmp_path / "offline") == 2
    assert "can't be downloaded" in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize("option", [("--classes", "50"), ("--no-extra",)])
def test_options_of_other_sets_are_refused(tmp_path: Path, capsys: Output, option: tuple[str, ...]) -> None:
    assert make("cifar10", "--out", tmp_path, *option) == 2
    assert f"{option[0]}: an option of" in capsys.readouterr().err
