"""Files as their authors distribute them: found, missing, damaged, downloaded, and not read twice."""

import tarfile
import threading
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import zstandard

from dataprep.layouts import svhn
from dataprep.layouts.catalog import DATASETS
from tests.support.dataprep_fixtures import make, nothing_left, pack, read_manifest, zip_of
from tests.support.native_fixtures import put_cifar, put_svhn

Output = pytest.CaptureFixture[str]


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
    assert "it holds different images" in capsys.readouterr().err


def test_missing_files_are_named(tmp_path: Path, capsys: Output) -> None:
    put_cifar(tmp_path / "source", 10, 10)
    (tmp_path / "source/cifar-10-batches-py/data_batch_3").unlink()
    assert make("cifar10", "--out", tmp_path, "--source", tmp_path / "source") == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1 and "data_batch_3 missing" in message and "data_batch_1" not in message
    assert "cifar-10-python.tar.gz" in message and nothing_left(tmp_path, "cifar10")


def test_missing_extra_images_may_be_left_out(tmp_path: Path, capsys: Output) -> None:
    put_svhn(tmp_path / "source", {"train": 20, "test": 20})
    assert make("svhn", "--out", tmp_path, "--source", tmp_path / "source") == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1 and "extra_32x32.mat missing" in message and "--no-extra leaves" in message
    assert "housenumbers/extra_32x32.mat where" in message and "train_32x32.mat" not in message


def test_damaged_files(tmp_path: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    put_svhn(tmp_path / "source", {"train": 20, "test": 20})
    options = ("svhn", "--out", tmp_path, "--source", tmp_path / "source", "--no-extra")
    monkeypatch.setitem(svhn.PUBLISHED, "train", 20)
    assert make(*options) == 2  # all images there, but another checksum
    message = capsys.readouterr().err
    assert "train_32x32.mat has as many images as the official file but another checksum" in message
    file = tmp_path / "source/train_32x32.mat"
    file.write_bytes(file.read_bytes()[:5000])
    assert make(*options) == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1 and "cannot be read as SVHN" in message and nothing_left(tmp_path, "svhn")


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
    assert "cannot be downloaded" in message and f"or cifar-10-python.tar.gz, as it is, into {tmp_path}" in message
    assert f"fetch {CIFAR10.url} where there is a network" in message
    assert not list((tmp_path / "raw/cifar10").iterdir()) and nothing_left(tmp_path, "cifar10")
    monkeypatch.setattr(CIFAR10, "tgz_md5", calculate_md5(archive))
    assert make("cifar10", "--out", tmp_path) == 0
    assert read_manifest(tmp_path / "cifar10")["counts"]["train"] == len(written["train"])
    assert [folder.name for folder in (tmp_path / "raw/cifar10").iterdir()] == ["cifar-10-batches-py"]
    server.shutdown()
    server.server_close()
    assert make("cifar10", "--out", tmp_path / "offline") == 2
    assert "cannot be downloaded" in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize("kind", ["zip", "tar.zst", "cut zip"])
def test_archives_of_other_kinds(kind: str, tmp_path: Path, capsys: Output) -> None:
    written = put_cifar(tmp_path / "source", 10, 10)
    file = zip_of(tmp_path / "source", tmp_path / "archive.zip")
    if kind == "tar.zst":
        tar = pack(tmp_path / "source", tmp_path / "set.tar", "w")
        file.write_bytes(zstandard.compress(tar.read_bytes()))
    if kind == "cut zip":
        file.write_bytes(file.read_bytes()[:3000])
        assert make("cifar10", "--out", tmp_path, "--source", file) == 2
        assert "archive.zip: not a complete" in capsys.readouterr().err and nothing_left(tmp_path, "cifar10")
        return
    assert make("cifar10", "--out", tmp_path, "--source", file) == 0
    assert read_manifest(tmp_path / "cifar10")["counts"]["train"] == len(written["train"])
    assert not list(tmp_path.glob(".*"))
