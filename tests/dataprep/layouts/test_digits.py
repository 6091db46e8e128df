"""digits, through FFCV's own Loader."""

from itertools import chain
from pathlib import Path

import numpy as np
from ffcv.fields.decoders import IntDecoder, SimpleRGBImageDecoder
from ffcv.loader import Loader, OrderOption
from PIL import Image
from sklearn.datasets import load_digits

from dataprep.sources.entries import Entry
from dataprep.sources.path_hashes import beton_order
from tests.support.dataprep_fixtures import read_manifest, read_raw


def load(beton: Path) -> tuple[np.ndarray, np.ndarray]:
    """(images, labels) through FFCV's loader."""
    decoders = {"image": [SimpleRGBImageDecoder()], "label": [IntDecoder()], "index": [IntDecoder()]}
    loader = Loader(str(beton), 100, num_workers=1, order=OrderOption.SEQUENTIAL, drop_last=False, pipelines=decoders)
    batches = [tuple(np.array(part) for part in batch) for batch in loader]
    images, labels, index = (np.concatenate(parts) for parts in zip(*batches, strict=True))
    assert (index[:, 0] == np.arange(len(images))).all()
    return images, labels[:, 0]


def originals() -> list[bytes]:
    images = [Image.fromarray(np.rint(image * 255 / 16).astype(np.uint8)) for image in load_digits().images]
    return [image.resize((32, 32), Image.Resampling.BILINEAR).convert("RGB").tobytes() for image in images]


def test_loader_returns_the_digits(data: Path) -> None:
    target = load_digits().target
    known = {image: i for i, image in enumerate(originals())}
    seen: list[list[int]] = []
    for images, labels in (load(data / "digits/train.beton"), read_raw(data / "digits/test.beton")):
        which = [known[image.tobytes()] for image in images]
        assert (labels == target[which]).all()
        expected = beton_order(Entry(f"{i:04d}", 0, 0, i) for i in which)
        assert [entry.offset for entry in expected] == which
        seen.append(which)
    assert [len(which) for which in seen] == [1297, 500] and len(set(chain(*seen))) == len(target) == 1797


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
