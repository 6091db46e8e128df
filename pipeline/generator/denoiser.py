"""EDM's preconditioning and loss (Karras et al. 2022, Eq. 7-8, Table 1): the network sees and gives unit variance."""

import torch
from torch import Tensor, nn

from pipeline.generator.unet import NetworkSize, UNet

SIGMA_DATA = 0.5  # standard deviation of images in [-1, 1]
NOISE_MEAN, NOISE_STD = -1.2, 1.2  # of ln sigma in training


def coefficients(sigma: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """c_skip, c_out, c_in and c_noise, each of the shape of ``sigma``: D = c_skip x + c_out F(c_in x, c_noise)."""
    variance = sigma**2 + SIGMA_DATA**2
    return SIGMA_DATA**2 / variance, sigma * SIGMA_DATA / variance.sqrt(), variance.rsqrt(), sigma.log() / 4


class Denoiser(nn.Module):
    """D(x; sigma, c): the mean of the images of condition c that noise of deviation sigma may have made x of."""

    def __init__(self, size: NetworkSize, dropout: float = 0.0) -> None:
        super().__init__()
        self.model = UNet(size, dropout)

    @property
    def size(self) -> NetworkSize:
        return self.model.size

    def forward(self, x: Tensor, sigma: Tensor, labels: Tensor) -> Tensor:
        """x float32 [B, 3, S, S] of images in [-1, 1], sigma [B], labels [B, K] -> float32 [B, 3, S, S]."""
        c_skip, c_out, c_in, c_noise = coefficients(sigma[:, None, None, None])
        return c_skip * x + c_out * self.model(c_in * x, c_noise.flatten(), labels).float()


def training_loss(denoiser: nn.Module, images: Tensor, draws: Tensor, labels: Tensor) -> Tensor:
    """Mean of weight |D(y + n; sigma, c) - y|^2 over images and pixels (Eq. 2 and 8), a scalar.

    ``images`` y [B, 3, S, S] in [-1, 1]; ``draws`` standard normal [B, 1 + 3 S S]: ln sigma's, then the noise's.
    """
    sigma = (NOISE_MEAN + NOISE_STD * draws[:, :1, None, None]).exp()
    noise = sigma * draws[:, 1:].view(images.shape)
    weight = (sigma**2 + SIGMA_DATA**2) / (sigma * SIGMA_DATA) ** 2
    noisy = (images + noise).contiguous(memory_format=torch.channels_last)
    denoised = denoiser(noisy, sigma.flatten(), labels)
    return (weight * (denoised - images) ** 2).mean()
