"""Data folders as training and evaluation read them, and what they must hold."""

import io
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from pipeline.config.options import Config
from pipeline.data.beton_reader import BetonReader, cut
from pipeline.data.central_crops import CentralCrops
from pipeline.data.dataset import Dataset, open_dataset
from tests.support.dataprep_fixtures import read_jpegs, read_manifest, read_raw
from tests.support.native_fixtures import Labelled


def opened(folder: Path, labels: str = "all") -> Dataset:
    """What training sees of DATA/NAME."""
    return open_dataset(Config(data=str(folder.parent), dataset=folder.name, labels=labels))


def evaluated(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """(images uint8 [N,S,S,3], labels [N]) of the test split as evaluation reads them."""
    dataset = opened(folder)
    reader = CentralCrops(dataset.test_beton, dataset.image_size, 16, 1)
    batches = [batch.permute(0, 2, 3, 1).numpy() for batch in reader.batches()]
    return np.concatenate(batches), reader.labels


def loaded(beton: Path) -> tuple[np.ndarray, np.ndarray]:
    """(images uint8 [N,S,S,3] as stored, labels [N]) through the training loader."""
    reader = BetonReader(str(beton), 16, 1, lambda decoded, _: torch.from_numpy(decoded.copy()))
    batches = [batch.numpy() for batch in reader.read(cut(np.arange(len(reader.labels)), 16))]
    return np.concatenate(batches), reader.labels


def check_raw(images: np.ndarray, labels: np.ndarray, expected: Labelled) -> None:
    """The same pairs of image and label, whatever their order."""
    assert images.dtype == np.uint8 and len(images) == len(expected)
    known = {image.tobytes(): label for image, label in expected}
    assert len(known) == len(expected)
    assert [known.pop(np.ascontiguousarray(image).tobytes()) for image in images] == labels.tolist()


def squared(data: bytes, size: int, resize: str) -> np.ndarray:
    """An image file as it should be stored: all of it squashed, or the central square of its shorter side."""
    image = Image.open(io.BytesIO(data)).convert("RGB")
    side = min(image.size)
    left, top = (image.width - side) / 2, (image.height - side) / 2
    box = (left, top, left + side, top + side) if resize == "crop" else None
    return np.array(image.resize((size, size), Image.Resampling.BILINEAR, box=box))


def check_raw_folder(folder: Path, size: int, train: Labelled, test: Labelled) -> None:
    """Images, labels and manifest of a finished folder against what was written into the native files."""
    check_raw(*read_raw(folder / "train.beton"), train)
    check_raw(*read_raw(folder / "test.beton"), test)
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


def split_kinds(folder: Path) -> set[str]:
    """Names of the splits of seed 0, without it."""
    return {name.removesuffix("-seed0") for name in read_manifest(folder)["splits"] if name.endswith("-seed0")}


def check_photos(beton: Path, expected: list[tuple[bytes, int]], through_loader: bool = False) -> None:
    """The same photos, up to what JPEG loses, with their labels: squashed for training, cropped for the test.

    through_loader: decoded by the training loader (seconds: FFCV compiles it), else by Pillow.
    """
    images, labels = loaded(beton) if through_loader else read_jpegs(beton)
    assert len(images) == len(expected)
    resize = "squash" if beton.name == "train.beton" else "crop"
    wanted = [squared(data, images.shape[1], resize).astype(np.int16) for data, _ in expected]
    seen = set()
    for image, label in zip(images, labels, strict=True):
        distances = [np.abs(image - other).mean() for other in wanted]
        which = int(np.argmin(distances))
        assert distances[which] < 6 and sorted(distances)[1] > 20
        assert label == expected[which][1]
        seen.add(which)
    assert len(seen) == len(expected)
