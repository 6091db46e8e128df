"""The U-Net is the published one: numbers, names and shapes."""

from pathlib import Path

import pytest
import torch

from pipeline.generator.blocks import RESAMPLE, Convolution
from pipeline.generator.denoiser import Denoiser
from pipeline.generator.unet import NetworkSize
from tests.support.generator_oracle import CIFAR10, SMALL, agrees, fill, inputs

LISTED = Path(__file__).with_name("edm_cifar10_parameters.txt")


@pytest.mark.parametrize("size", [SMALL, pytest.param(CIFAR10, marks=pytest.mark.slow)])
def test_the_oracle(size: NetworkSize) -> None:
    network = Denoiser(size)
    fill(network)
    assert agrees(network.to(memory_format=torch.channels_last), size)


def test_names_and_shapes_are_those_of_the_published_network() -> None:
    """Its resampling filters are buffers; here they are what the convolutions beside them do."""
    with torch.device("meta"):
        network = Denoiser(CIFAR10)
    found = {name: "x".join(map(str, p.shape)) for name, p in network.named_parameters()}
    lines = [line.split() for line in LISTED.read_text().splitlines() if not line.startswith("#")]
    assert list(found.items()) == [(name, shape) for name, shape in lines[: len(found)]]
    assert sum(p.numel() for p in network.parameters()) == 55_735_299
    resampling = {
        name for name, m in network.named_modules() if isinstance(m, Convolution) and m.resample is not RESAMPLE[""]
    }
    assert resampling == {name.removesuffix(".resample_filter") for _, name, _ in lines[len(found) :]}


def test_the_class_enters_linearly() -> None:
    """Up to the first activation: the embedding of a mixture is the mixture of embeddings."""
    network = Denoiser(SMALL).model
    ends = torch.eye(4)[[1, 3]]
    soft = 0.25 * ends[:1] + 0.75 * ends[1:]
    mixed = 0.25 * network.map_label(2 * ends[:1]) + 0.75 * network.map_label(2 * ends[1:])
    torch.testing.assert_close(network.map_label(2 * soft), mixed)


def test_a_new_network_gives_nearly_nothing_and_its_size_tells_its_levels() -> None:
    x, sigma, labels = inputs(SMALL)
    torch.manual_seed(0)
    network = Denoiser(SMALL)
    assert network.model(x, sigma, labels).abs().max() < 1e-3
    assert network.size.resolutions == [16, 8]
    assert not torch.equal(network.train()(x, sigma, labels), Denoiser(SMALL, 0.5)(x, sigma, labels))
