"""Encoders of other libraries: from random weights where the library is there, one line where it is not."""

import sys
from pathlib import Path

import pytest
import torch

from pipeline.encoders.options import EncoderName
from pipeline.encoders.towers import normalisation, tower_encoder

CPU = torch.device("cpu")
IMAGES = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def weights(folder: Path, tensors: object) -> Path:
    torch.save(tensors, folder / "weights.pt")
    return folder / "weights.pt"


@pytest.mark.parametrize(("kind", "package"), [("clip", "open_clip"), ("timm", "timm")])
def test_a_missing_library_is_one_line(
    kind: str, package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ValueError, match=rf"--encoder {kind}: needs {package}; pip install 'calibratemix\[encoders\]'"):
        tower_encoder(EncoderName(kind, "any", weights(tmp_path, {})), CPU)


def test_pixels_are_normalised() -> None:
    mean, std = (0.5, 0.4, 0.3), (0.1, 0.2, 0.3)
    found = normalisation(mean, std, CPU)(IMAGES)
    for channel in range(3):
        expected = (IMAGES[:, channel] / 255 - mean[channel]) / std[channel]
        torch.testing.assert_close(found[:, channel], expected)


def test_timm(tmp_path: Path) -> None:
    timm = pytest.importorskip("timm")
    saved = timm.create_model("resnet10t", num_classes=7)
    encoder = tower_encoder(EncoderName("timm", "resnet10t", weights(tmp_path, saved.state_dict())), CPU)
    assert encoder.side == saved.pretrained_cfg["input_size"][-1] and not encoder.has_head
    images = encoder.normalise(IMAGES)
    with torch.inference_mode():
        (found,) = encoder.model(images)
        torch.testing.assert_close(found, saved.eval().forward_head(saved.forward_features(images), pre_logits=True))
    wrong = {**saved.state_dict(), "conv1.0.weight": torch.zeros(1)}
    with pytest.raises(ValueError, match=r"another network: conv1.0.weight is \[1\], not \[24, 3, 3, 3\]"):
        tower_encoder(EncoderName("timm", "resnet10t", weights(tmp_path, wrong)), CPU)
    with pytest.raises(ValueError, match="timm has no network resnet9999"):
        tower_encoder(EncoderName("timm", "resnet9999", tmp_path / "weights.pt"), CPU)


def test_clip(tmp_path: Path) -> None:
    """A whole CLIP's tensors, of which the image tower's are taken; wrapped names too."""
    open_clip = pytest.importorskip("open_clip")
    small = "RN50"
    saved = open_clip.create_model(small, pretrained=None)
    tensors = {f"module.{key}": value for key, value in saved.state_dict().items()}
    encoder = tower_encoder(EncoderName("clip", small, weights(tmp_path, tensors)), CPU)
    images = torch.rand(1, 3, encoder.side, encoder.side, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        torch.testing.assert_close(encoder.model(images)[0], saved.eval().encode_image(images))
    with pytest.raises(ValueError, match="open_clip has no network RN9"):
        tower_encoder(EncoderName("clip", "RN9", tmp_path / "weights.pt"), CPU)
    del tensors["module.visual.conv1.weight"]
    with pytest.raises(ValueError, match=r"another network: conv1.weight is missing"):
        tower_encoder(EncoderName("clip", small, weights(tmp_path, tensors)), CPU)
