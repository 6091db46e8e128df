"""Fashion-MNIST from its idx files, as they come or unpacked, wherever torchvision's download may have put them."""

import gzip
import os
from collections.abc import Callable
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
import torch
from torchvision.datasets import FashionMNIST
from torchvision.datasets.utils import calculate_md5

from dataprep.layouts import fashion_mnist
from dataprep.layouts.array_files import read_idx
from pipeline.models.numerics import Numerics
from tests.support.dataprep_fixtures import fingerprint, make, nothing_left, read_manifest, zip_of
from tests.support.made_folders import check_raw, check_raw_folder, evaluated, loaded, opened
from tests.support.native_fixtures import idx, put_fashion_mnist

Output = pytest.CaptureFixture[str]
COUNTS = {"train": 120, "t10k": 30}
IMAGES, LABELS = "train-images-idx3-ubyte", "t10k-labels-idx1-ubyte"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """raw/fashion_mnist as downloaded, and what it gives."""
    root = tmp_path_factory.mktemp("fashion")
    put_fashion_mnist(root / "raw/fashion_mnist", COUNTS)
    assert make("fashion_mnist", "--out", root) == 0
    return root / "fashion_mnist"


def test_grey_images_become_three_equal_channels(made: Path, tmp_path: Path) -> None:
    written = put_fashion_mnist(tmp_path, COUNTS)
    check_raw_folder(made, 28, written["train"], written["t10k"])
    check_raw(*loaded(made / "train.beton"), written["train"])
    check_raw(*evaluated(made), written["t10k"])
    content = read_manifest(made)
    assert content["classes"][0] == "T-shirt/top" and content["classes"][9] == "Ankle boot"
    assert len(content["classes"]) == 10 and content["crop_padding"] == 3


def test_the_manifests_statistics_normalise_grey_images(made: Path, tmp_path: Path) -> None:
    images = np.stack([image for image, _ in put_fashion_mnist(tmp_path, COUNTS)["train"]])
    numbers = Numerics("fp64", opened(made), torch.device("cpu"), "dataset")
    normalised = numbers.normalise(torch.from_numpy(images).permute(0, 3, 1, 2))
    torch.testing.assert_close(normalised.mean((0, 2, 3)), torch.zeros(3, dtype=torch.float64), atol=1e-9, rtol=0)
    torch.testing.assert_close(normalised.std((0, 2, 3), correction=0), torch.ones(3, dtype=torch.float64))


@pytest.mark.parametrize("place", ["", "FashionMNIST/raw", "set/FashionMNIST/raw", "raw", "zip"])
def test_every_place_gives_the_same(made: Path, tmp_path: Path, place: str) -> None:
    """The files themselves, torchvision's root, its folder, and an archive; both forms, one of each."""
    source = tmp_path / "source"
    folder = source / place if place != "zip" else source
    put_fashion_mnist(folder, COUNTS, packed=place in ("raw", "zip"))
    if place == "FashionMNIST/raw":  # torchvision keeps what it downloaded
        put_fashion_mnist(folder, COUNTS)
    elif place == "":
        file = folder / IMAGES
        (folder / f"{IMAGES}.gz").write_bytes(gzip.compress(file.read_bytes()))
        file.unlink()
    given = {"zip": tmp_path / "set.zip", "set/FashionMNIST/raw": source / "set"}.get(place, source)
    if place == "zip":
        zip_of(source, given)
    assert make("fashion_mnist", "--out", tmp_path, "--source", given) == 0
    assert fingerprint(tmp_path / "fashion_mnist") == fingerprint(made)


@pytest.mark.parametrize("packed", [True, False])
def test_the_source_is_compared_with_the_published(
    tmp_path: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch, packed: bool
) -> None:
    """Numbers of images, and the checksum of each file in the form in which it lies there; here one is right."""
    put_fashion_mnist(tmp_path / "raw/fashion_mnist", COUNTS, packed=packed)
    name = f"{IMAGES}.gz" if packed else IMAGES
    official = calculate_md5(tmp_path / "raw/fashion_mnist" / name)
    resources = [(name, official), *FashionMNIST.resources[1:]] if packed else FashionMNIST.resources
    monkeypatch.setattr(FashionMNIST, "resources", resources)
    monkeypatch.setitem(fashion_mnist.MD5, IMAGES, official)
    assert make("fashion_mnist", "--out", tmp_path, "--dry-run") == 0
    said = capsys.readouterr().out
    assert "train images: 120, 59,880 fewer than the official 60,000" in said
    assert "test images: 30, 9,970 fewer than the official 10,000" in said
    suffix = ".gz" if packed else ""
    assert f"train: not the official files, checksums differ (train-labels-idx1-ubyte{suffix})" in said
    assert f"source: 150 images, {150 * 28 * 28:,} bytes" in said


def cut_archive(root: Path) -> None:
    os.truncate(root / f"{IMAGES}.gz", 5000)


def changed_archive(root: Path) -> None:
    file = root / f"{IMAGES}.gz"
    data = bytearray(file.read_bytes())
    data[3000] ^= 255
    file.write_bytes(data)


def cut_content(root: Path) -> None:
    (root / f"{IMAGES}.gz").write_bytes(gzip.compress(idx(np.zeros((120, 28, 28)))[:-9]))


def other_type(root: Path) -> None:
    (root / f"{LABELS}.gz").write_bytes(gzip.compress(bytes([0, 0, 13, 1, 0, 0, 0, 0])))


def other_size(root: Path) -> None:
    (root / f"{IMAGES}.gz").write_bytes(gzip.compress(idx(np.zeros((120, 32, 32)))))


def other_file(root: Path) -> None:
    (root / f"{LABELS}.gz").write_text("<html>moved</html>")


def eleventh_class(root: Path) -> None:
    (root / f"{LABELS}.gz").write_bytes(gzip.compress(idx(np.full(30, 10))))


def fewer_labels(root: Path) -> None:
    (root / f"{LABELS}.gz").write_bytes(gzip.compress(idx(np.zeros(29))))


def gone(root: Path) -> None:
    (root / f"{LABELS}.gz").unlink()


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (cut_archive, f"{IMAGES}.gz: its compressed data is damaged"),
        (changed_archive, f"{IMAGES}.gz: its compressed data is damaged"),
        (cut_content, f"{IMAGES}.gz: 94,071 bytes, but its header says 120 x 28 x 28 = 94,080"),
        (other_type, f"{LABELS}.gz: not an idx file of bytes in 1 dimension;"),
        (other_size, f"{IMAGES}.gz: its images are 32x32, not 28x28"),
        (other_file, f"{LABELS}.gz: not an idx file; download it again"),
        (eleventh_class, "label 10 among the 30 test images of 10 classes"),
        (fewer_labels, "29 labels among the 30 test images of 10 classes"),
        (gone, f"{LABELS} missing; put it (plain or .gz) into "),
    ],
)
def test_what_a_file_should_not_hold(
    tmp_path: Path, capsys: Output, damage: Callable[[Path], None], words: str
) -> None:
    put_fashion_mnist(tmp_path / "source", COUNTS)
    damage(tmp_path / "source")
    assert make("fashion_mnist", "--out", tmp_path, "--source", tmp_path / "source") == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and words in error and nothing_left(tmp_path, "fashion_mnist")


def test_missing_files_are_named_where_the_others_are(tmp_path: Path, capsys: Output) -> None:
    put_fashion_mnist(tmp_path / "FashionMNIST/raw", COUNTS)
    gone(tmp_path / "FashionMNIST/raw")
    assert make("fashion_mnist", "--out", tmp_path / "data", "--source", tmp_path) == 2
    error = capsys.readouterr().err
    assert f"{LABELS} missing; put it (plain or .gz) into {tmp_path}/FashionMNIST/raw; fetch http" in error
    assert f"/{LABELS}.gz where there is a network" in error and IMAGES not in error


def test_one_file_is_not_the_set(tmp_path: Path, capsys: Output) -> None:
    put_fashion_mnist(tmp_path, COUNTS)
    assert make("fashion_mnist", "--out", tmp_path / "data", "--source", tmp_path / f"{IMAGES}.gz") == 2
    error = capsys.readouterr().err
    assert f"{IMAGES}.gz: one of the files of fashion_mnist; name the folder that holds all of them" in error


@pytest.mark.parametrize("packed", [True, False])
def test_an_official_file_of_another_checksum_is_refused(
    tmp_path: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch, packed: bool
) -> None:
    put_fashion_mnist(tmp_path / "source", COUNTS, packed=packed)
    monkeypatch.setitem(fashion_mnist.PUBLISHED, "train", COUNTS["train"])
    assert make("fashion_mnist", "--out", tmp_path, "--source", tmp_path / "source") == 2
    error = capsys.readouterr().err
    assert f"{IMAGES}{'.gz' if packed else ''}, train-labels" in error and "but another checksum" in error


def test_what_is_missing_is_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: Path) -> None:
    put_fashion_mnist(tmp_path / "server", COUNTS)
    there = tmp_path / "raw/fashion_mnist/FashionMNIST/raw"
    there.mkdir(parents=True)
    for name, _ in FashionMNIST.resources[:2]:
        (there / name).write_bytes((tmp_path / "server" / name).read_bytes())
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=tmp_path / "server"))
    Thread(target=server.serve_forever, daemon=True).start()
    resources = [(name, calculate_md5(tmp_path / "server" / name)) for name, _ in FashionMNIST.resources]
    monkeypatch.setattr(FashionMNIST, "mirrors", [f"http://127.0.0.1:{server.server_port}/"])
    monkeypatch.setattr(FashionMNIST, "resources", resources)
    assert make("fashion_mnist", "--out", tmp_path) == 0
    server.shutdown()
    server.server_close()
    assert sorted(file.name for file in there.iterdir()) == sorted(name for name, _ in resources)
    assert fingerprint(tmp_path / "fashion_mnist") == fingerprint(made)


def test_idx_is_read_as_torchvision_reads_it(tmp_path: Path) -> None:
    from torchvision.datasets.mnist import read_image_file, read_label_file

    put_fashion_mnist(tmp_path, COUNTS, packed=False)
    assert torch.equal(torch.from_numpy(read_idx(tmp_path / IMAGES, 3).copy()), read_image_file(str(tmp_path / IMAGES)))
    assert (read_idx(tmp_path / LABELS, 1) == read_label_file(str(tmp_path / LABELS)).numpy()).all()
