"""Networks as ONNX files, and the stand-alone program's pixels beside the trainer's own, crop and inset included."""

import dataclasses
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from dataprep.images.decoding import to_square
from pipeline import models
from pipeline.augment.kernels import center_crop
from pipeline.config.sections import ModelConfig
from pipeline.data.dataset import Dataset
from pipeline.models.numerics import Numerics
from pipeline.shipping.onnx_file import Classifier, largest_difference, write_onnx
from pipeline.shipping.package import EXAMPLE
from pipeline.shipping.preprocessing import preprocessing

pytest.importorskip("onnxruntime")
SHIPPED = Path(__file__).parents[2] / "docs/export.md"


def network(name: str) -> torch.nn.Module:
    torch.manual_seed(0)
    made = models.build(ModelConfig(name=name), 5, 0, 32).eval()
    for module in made.modules():  # statistics and weights of the start are those of no norm at all
        for value in (getattr(module, "running_mean", None), getattr(module, "running_var", None)):
            if value is not None:
                value.uniform_(0.5, 1.5)
    return made


@pytest.mark.parametrize(
    ("name", "temperature"), [("wrn-10-1", 1.7), ("timm/test_vit", None), ("timm/test_convnext", 1.0)]
)
def test_onnxruntime_answers_as_torch_does(name: str, temperature: float | None, tmp_path: Path) -> None:
    """Batches of sizes that the export did not see."""
    if name.startswith("timm/"):
        pytest.importorskip("timm")
    classifier = Classifier(network(name), temperature)
    write_onnx(tmp_path / "model.onnx", classifier, 32, "answer")
    batches = [torch.randn(count, 3, 32, 32) for count in (1, 5)]
    difference, count = largest_difference(tmp_path / "model.onnx", classifier, iter(batches))
    assert count == 6 and difference < 1e-5
    other = Classifier(network(name), 3.0 if temperature else None)
    with torch.no_grad():
        other.network.head.weight.mul_(2)
    assert largest_difference(tmp_path / "model.onnx", other, iter(batches))[0] > 1e-4, "it compares nothing"


def dataset(stored: int, size: int) -> Dataset:
    nothing: Any = None
    own = {"stored_size": stored, "image_size": size, "mean": (0.4, 0.5, 0.6), "std": (0.2, 0.3, 0.25)}
    return Dataset(**dict.fromkeys(Dataset.__dataclass_fields__, nothing) | own)


def trainers(image: Image.Image, of: Dataset) -> Tensor:
    """The normalised input [1, 3, S, S] that evaluation makes of an image that dataprep stores uncompressed."""
    stored = np.asarray(to_square(image, of.stored_size, "crop"))[None]
    cut = np.empty((1, of.image_size, of.image_size, 3), np.uint8)
    center_crop(stored, cut)
    return Numerics("fp32", of, torch.device("cpu")).normalise(torch.from_numpy(cut).permute(0, 3, 1, 2))


@pytest.mark.parametrize(
    ("size", "output", "temperature"), [((61, 45), "probabilities", 1.7), ((33, 90), "logits", 0.6)]
)
def test_the_stand_alone_program(size: tuple[int, int], output: str, temperature: float, tmp_path: Path) -> None:
    """Of a photo that is scaled to 37 px, then cropped to 32: the trainer's probabilities to 1e-4."""
    of = dataset(37, 32)
    inside = None if output == "logits" else temperature
    classifier = Classifier(network("wrn-10-1"), inside)
    write_onnx(tmp_path / "model.onnx", classifier, 32, output)
    rule = preprocessing(of, (of.mean, of.std), output, temperature)
    (tmp_path / "preprocess.json").write_text(json.dumps(rule))
    (tmp_path / "labels.json").write_text(json.dumps(list("abcde")))
    shutil.copy(EXAMPLE, tmp_path)
    image = Image.fromarray(np.random.default_rng(1).integers(0, 256, (*size[::-1], 3), dtype=np.uint8))
    image.save(tmp_path / "photo.png")
    command = [sys.executable, str(tmp_path / "classify.py"), str(tmp_path / "photo.png")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    with torch.no_grad():
        logits = classifier.network(trainers(image, of))[0][0]
    wanted = (logits / temperature).softmax(0).numpy()
    best = np.argsort(-wanted)[:3]
    rows = [line.split() for line in done.stdout.splitlines()]
    assert [row[1] for row in rows] == ["abcde"[number] for number in best]
    np.testing.assert_allclose([float(row[0]) for row in rows], wanted[best], rtol=0, atol=1e-4)


def test_the_page_shows_the_program_that_is_shipped() -> None:
    program = EXAMPLE.read_text()
    assert f"```python\n{program}```" in SHIPPED.read_text()
    assert len([line for line in program.split('"""')[2].splitlines() if line and "import" not in line]) <= 20
    assert {"torch", "pipeline"}.isdisjoint(program.split())


def test_preprocessing_of_small_images_has_no_inset() -> None:
    rule = preprocessing(dataset(32, 32), ((0.0,) * 3, (1.0,) * 3), "probabilities", 1.0)
    assert (rule["shorter_side"], rule["size"], rule["inset"]) == (32, 32, 0)
    assert dataclasses.is_dataclass(Dataset)
