"""Weights from files: the oracle's numbers through .pt and .safetensors, and what is refused."""

import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from pipeline.generator.denoiser import Denoiser
from pipeline.generator.weights import denoiser_of, read_weights, size_of
from tests.support.generator_oracle import CIFAR10, SMALL, agrees, fill

FILTER = torch.full((1, 1, 2, 2), 0.25)  # as the published files have it beside each resampling convolution


def filled() -> dict[str, Tensor]:
    network = Denoiser(SMALL)
    fill(network)
    return dict(network.state_dict())


@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
def test_a_saved_state_dict_gives_the_oracles_numbers(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"weights.{suffix}"
    content = {**filled(), "model.enc.8x8_down.conv0.resample_filter": FILTER}
    torch.save(content, path) if suffix == "pt" else save_file(content, path)
    denoiser = denoiser_of(read_weights(path), path)
    assert denoiser.size == SMALL and not denoiser.training
    assert agrees(denoiser, SMALL)


def test_the_published_size_is_read_from_the_shapes() -> None:
    with torch.device("meta"):
        weights = Denoiser(CIFAR10).state_dict()
    assert size_of(weights, Path("x")) == size_of(dict(sorted(weights.items())), Path("x")) == CIFAR10


class Runs:
    """Its pickle would run code."""

    def __reduce__(self) -> tuple[object, ...]:
        return print, ("code ran",)


def test_a_pickle_with_code_is_refused_with_the_line_that_exports_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain, zipped = tmp_path / "network.pkl", tmp_path / "network.pt"
    plain.write_bytes(pickle.dumps({"ema": Runs()}))
    torch.save({"ema": Runs()}, zipped)
    for path in (plain, zipped):
        with pytest.raises(ValueError, match=r"^[^\n]*holds code [^\n]*'ema'\]\.state_dict\(\)[^\n]*$"):
            read_weights(path)
    assert "code ran" not in capsys.readouterr().out


def changed(name: str, tensor: Tensor | None) -> dict[str, Tensor]:
    weights = filled()
    if tensor is None:
        del weights[name]
    else:
        weights[name] = tensor
    return weights


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (changed("model.enc.16x16_block0.norm1.bias", torch.zeros(17)), "16x16_block0.norm1.bias is 17, not 16"),
        (changed("model.dec.8x8_in0.proj.weight", None), "dec.8x8_in0.proj.weight is missing, not 32x32x1x1"),
        (changed("model.dec.8x8_block0.qkv.bias", torch.zeros(3)), "8x8_block0.qkv.bias has no place in it"),
        (changed("model.map_label.weight", None), "model.map_label.weight is missing"),
        (changed("model.map_label.weight", torch.zeros(32, 4)), r"no U-Net has the widths \(0, 1\) x 32"),
        ({"conv1.weight": torch.zeros(3)}, "no class-conditional DDPM.* model.enc.NxN_conv.weight is missing"),
        (changed("model.enc.8x8_down.conv0.resample_filter", FILTER / 2), "another filter"),
    ],
)
def test_another_network_is_refused_by_its_first_difference(weights: dict[str, Tensor], message: str) -> None:
    with pytest.raises(ValueError, match=rf"^x\.pt: [^\n]*{message}[^\n]*$"):
        denoiser_of(weights, Path("x.pt"))


def test_files_that_hold_something_else(tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    with pytest.raises(ValueError, match=r"no such file; --weights takes a \.pt or \.safetensors file"):
        read_weights(path)
    torch.save([torch.zeros(2)], path)
    with pytest.raises(ValueError, match="holds no dictionary of tensors"):
        read_weights(path)
    for name in ("x.pt", "x.safetensors"):
        (tmp_path / name).write_bytes(b"PK\x03\x04 cut short")
        with pytest.raises(ValueError, match=r"^[^\n]*(cannot be read|holds code)[^\n]*$"):
            read_weights(tmp_path / name)
