"""EDM's deterministic sampler: Heun's method on the probability-flow ODE (Karras et al. 2022, Algorithm 1, Eq. 5)."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

Denoise = Callable[[Tensor, float], Tensor]  # float64 x [B, ...] and sigma -> the denoised x, float64


@dataclass(frozen=True, slots=True)
class Sampler:
    """``steps`` noise levels from ``sigma_max`` to ``sigma_min``, then 0; ``guidance``: see ``conditioned``."""

    steps: int = 20
    sigma_min: float = 0.002
    sigma_max: float = 80.0
    rho: float = 7.0
    guidance: float | None = None

    def levels(self) -> list[float]:
        """The noise levels (Eq. 5) and the last, 0."""
        high, low = self.sigma_max ** (1 / self.rho), self.sigma_min ** (1 / self.rho)
        return [(high + i / (self.steps - 1) * (low - high)) ** self.rho for i in range(self.steps)] + [0.0]

    @torch.no_grad()
    def solve(self, noise: Tensor, denoise: Denoise) -> Tensor:
        """From standard normal ``noise`` to images, float64 of its shape."""
        levels = self.levels()
        x = noise.double() * levels[0]
        for sigma, following in pairwise(levels):
            slope = (x - denoise(x, sigma)) / sigma
            euler = x + (following - sigma) * slope
            if following:
                second = (euler - denoise(euler, following)) / following
                euler = x + (following - sigma) * (slope + second) / 2
            x = euler
        return x


def conditioned(
    denoiser: nn.Module, labels: Tensor, guidance: float | None, autocast: Callable[[], AbstractContextManager[object]]
) -> Denoise:
    """The denoiser under ``labels`` [B, K]; ``guidance`` g: D(x) + g (D(x; c) - D(x)) (Ho and Salimans 2022)."""

    def once(x: Tensor, sigma: float, condition: Tensor) -> Tensor:
        image = x.float().contiguous(memory_format=torch.channels_last)
        with autocast():
            denoised: Tensor = denoiser(image, image.new_full((len(x),), sigma), condition)
        return denoised.double()

    def denoise(x: Tensor, sigma: float) -> Tensor:
        found = once(x, sigma, labels)
        if guidance is None:
            return found
        free = once(x, sigma, torch.zeros_like(labels))
        return free + guidance * (found - free)

    return denoise


def to_pixels(x: Tensor) -> Tensor:
    """Images in [-1, 1], [B, 3, S, S] -> uint8 [B, S, S, 3] in host memory."""
    return (x * 127.5 + 128).clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).cpu()
