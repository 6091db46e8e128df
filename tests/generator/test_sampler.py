"""Heun's method against the known solution for Gaussian data, guidance, pixels."""

import math
from contextlib import nullcontext
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from pipeline.generator.sampler import Sampler, conditioned, to_pixels

VARIANCE = 0.25  # of Gaussian images with mean 0


def gaussian(x: Tensor, sigma: float) -> Tensor:
    """The exact denoiser of such images."""
    return x * VARIANCE / (VARIANCE + sigma**2)


def error(steps: int) -> float:
    """Relative, of the ODE's end from sigma 80: x shrinks by the ratio of the deviations there and at 0."""
    start = torch.linspace(-2, 2, 7, dtype=torch.float64)
    exact = 80 * start * math.sqrt(VARIANCE / (VARIANCE + 80**2))
    found = Sampler(steps).solve(start, gaussian)
    return ((found - exact).norm() / exact.norm()).item()


def test_heun_is_of_second_order() -> None:
    errors = [error(1 + intervals) for intervals in (18, 36, 72, 144)]
    assert errors[-1] < 1e-3 and error(144) < 1e-3
    assert all(3.8 < coarse / fine < 4.4 for coarse, fine in pairwise(errors)), errors


def test_levels() -> None:
    levels = Sampler(18).levels()
    assert len(levels) == 19 and levels[-1] == 0 and levels == sorted(levels, reverse=True)
    assert (levels[0], levels[17]) == (pytest.approx(80), pytest.approx(0.002))


def test_each_level_but_the_last_costs_two_passes() -> None:
    calls: list[float] = []

    def denoise(x: Tensor, sigma: float) -> Tensor:
        calls.append(sigma)
        assert x.dtype == torch.float64
        return x

    Sampler(5).solve(torch.zeros(1), denoise)
    assert len(calls) == 9


class Conditioned(nn.Module):
    def forward(self, x: Tensor, sigma: Tensor, labels: Tensor) -> Tensor:
        return x * 0 + 1 + labels.sum(dim=1)[:, None, None, None]


@pytest.mark.parametrize(("guidance", "expected"), [(None, 2.0), (1.0, 2.0), (3.0, 4.0), (0.0, 1.0)])
def test_guidance_goes_beyond_the_condition(guidance: float | None, expected: float) -> None:
    denoise = conditioned(Conditioned(), torch.eye(2), guidance, nullcontext)
    assert (denoise(torch.zeros(2, 3, 4, 4, dtype=torch.float64), 1.0) == expected).all()


def test_pixels_are_clipped_and_end_up_last() -> None:
    x = torch.tensor([-2.0, -1.0, 0.0, 1.0, 3.0, 0.5]).double().reshape(1, 3, 1, 2)
    assert to_pixels(x).tolist() == [[[[0, 128, 255], [0, 255, 191]]]]
