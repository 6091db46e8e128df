"""digits: through FFCV's own Loader, and what a second run does."""

import time
from pathlib import Path

import numpy as np
import pytest
from ffcv.fields.decoders import IntDecoder, SimpleRGBImageDecoder
from ffcv.loader import Loader, OrderOption
from PIL import Image
from sklearn.datasets import load_digits

from dataprep.listing import beton_order
from dataprep.sources import Entry
from tests.support.dataprep_fixtures import make, read_manifest, read_raw


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("data")
    assert make("digits", "--out", out) == 0
    return out


def load(beton: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    decoders = {"image": [SimpleRGBImageDecoder()], "label": [IntDecoder()], "index": [IntDecoder()]}
    loader = Loader(str(beton), 100, num_workers=1, order=OrderOption.SEQUENTIAL, drop_last=False, pipelines=decoders)
    batches = [tuple(np.array(part) for part in batch) for batch in loader]
    images, labels, index = (np.concatenate(parts) for parts in zip(*batches, strict=True))
    return images, labels[:, 0], index[:, 0]


def originals() -> list[bytes]:
    images = [Image.fromarray(np.rint(image * 255 / 16).astype(np.uint8)) for image in load_digits().images]
    return [image.resize((32, 32), Image.Resampling.BILINEAR).convert("RGB").tobytes() for image in images]


def test_loader_returns_the_digits(data: Path) -> None:
    target = load_digits().target
    known = {image: i for i, image in enumerate(originals())}
    seen: list[int] = []
    for part, count in (("train", 1297), ("test", 500)):
        images, labels, index = load(data / "digits" / f"{part}.beton")
        assert (index == np.arange(count)).all()
        which = [known[image.tobytes()] for image in images]
        assert (labels == target[which]).all()
        expected = beton_order(Entry(f"{i:04d}", 0, 0, i) for i in which)
        assert [entry.offset for entry in expected] == which
        seen += which
    assert len(set(seen)) == len(target) == 1797


def test_manifest(data: Path) -> None:
    content = read_manifest(data / "digits")
    images, labels = read_raw(data / "digits/train.beton")
    assert content["counts"]["train"] == len(labels) == 1297
    assert content["counts"]["train_per_class"] == np.bincount(labels).tolist()
    assert np.ptp(content["counts"]["test_per_class"]) <= 3
    assert (content["image_size"], content["stored_size"], content["crop_padding"]) == (32, 32, 4)
    assert content["flip"] is False and content["writer"]["encoding"] == "raw"
    np.testing.assert_allclose(content["mean"], images.mean((0, 1, 2)) / 255, rtol=1e-12)
    np.testing.assert_allclose(content["std"], images.std((0, 1, 2)) / 255, rtol=1e-9)


def test_second_run_adds_only_splits(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = data / "digits"
    before, old = (folder / "train.beton").stat(), read_manifest(folder)
    start = time.monotonic()
    assert make("digits", "--out", data) == 0
    assert time.monotonic() - start < 2
    assert "already made, nothing to add" in capsys.readouterr().out
    assert make("digits", "--out", data, "--labels-per-class", 4, 7, "--seeds", 0, 5) == 0
    new = read_manifest(folder)
    assert (folder / "train.beton").stat().st_mtime_ns == before.st_mtime_ns
    assert set(new["splits"]) - set(old["splits"]) == {
        *("7-seed0", "7-seed5", "4-seed5", "10pct-seed5", "10pct-balanced-seed5", "all-seed5")
    }
    assert {name: new["splits"][name] for name in old["splits"]} == old["splits"]
    assert {**new, "splits": 0} == {**old, "splits": 0}
    labels = read_raw(folder / "train.beton")[1]
    assert np.bincount(labels[np.load(folder / "splits/7-seed5.npy")]).tolist() == [7] * 10


def test_other_seeds_leave_images_alone(data: Path, tmp_path: Path) -> None:
    assert make("digits", "--out", tmp_path, "--seeds", 9, "--workers", 2) == 0
    ours, other = read_manifest(data / "digits"), read_manifest(tmp_path / "digits")
    assert ours["betons"] == other["betons"] and ours["files_sha256"] == other["files_sha256"]
    assert all(name.endswith("-seed9") for name in other["splits"])


def test_other_options_are_refused(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = read_manifest(data / "digits")
    assert make("digits", "--out", data, "--stored-size", 48, "--flip") == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1 and "stored_size is 32, not 48" in message and "flip" in message
    assert read_manifest(data / "digits") == before and not list(data.glob(".*"))
