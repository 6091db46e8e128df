"""EDM's preconditioning at its limits, and its loss against a slow form."""

import math

import pytest
import torch
from torch import Tensor, nn

from pipeline.generator.denoiser import SIGMA_DATA, Denoiser, coefficients, training_loss
from tests.support.generator_oracle import SMALL, fill, inputs


def test_the_network_sees_and_gives_unit_variance() -> None:
    sigma = torch.tensor([1e-3, 0.5, 80.0], dtype=torch.float64)
    c_skip, c_out, c_in, c_noise = coefficients(sigma)
    torch.testing.assert_close(c_in**2 * (sigma**2 + SIGMA_DATA**2), torch.ones(3, dtype=torch.float64))
    # The target (y - c_skip x) / c_out of images of variance d^2 has variance 1.
    variance = ((1 - c_skip) ** 2 * SIGMA_DATA**2 + c_skip**2 * sigma**2) / c_out**2
    torch.testing.assert_close(variance, torch.ones(3, dtype=torch.float64))
    assert c_noise[0].item() == pytest.approx(math.log(1e-3) / 4)


def test_without_noise_it_is_the_identity_and_with_endless_noise_the_network_alone() -> None:
    network = Denoiser(SMALL).eval()
    fill(network)
    x, _, labels = inputs(SMALL)
    with torch.no_grad():
        assert (network(x, torch.full((2,), 1e-6), labels) - x).abs().max() < 1e-5
        sigma = torch.full((2,), 1e6)
        alone = SIGMA_DATA * network.model(x, sigma.log() / 4, labels)
        torch.testing.assert_close(network(1e6 * x, sigma, labels), alone, atol=1e-4, rtol=1e-4)


class Half(nn.Module):
    """A denoiser that is easily done by hand."""

    def forward(self, x: Tensor, sigma: Tensor, labels: Tensor) -> Tensor:
        return x / 2 + labels[:, :1, None, None]


def test_the_loss_is_the_slow_form() -> None:
    images, draws, labels = torch.rand(3, 3, 2, 2) * 2 - 1, torch.randn(3, 13), torch.rand(3, 4)
    total = 0.0
    for y, z, c in zip(images.tolist(), draws.tolist(), labels.tolist(), strict=True):
        sigma = math.exp(-1.2 + 1.2 * z[0])
        weight = (sigma**2 + 0.25) / (0.5 * sigma) ** 2
        pixels = [v for channel in y for row in channel for v in row]
        denoised = [(v + sigma * n) / 2 + c[0] for v, n in zip(pixels, z[1:], strict=True)]
        total += weight * sum((d - v) ** 2 for d, v in zip(denoised, pixels, strict=True)) / 12
    assert training_loss(Half(), images, draws, labels).item() == pytest.approx(total / 3, rel=1e-5)
