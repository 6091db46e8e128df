"""A contact sheet of what a generator makes: a row for each class, one noise a column."""

from collections.abc import Callable
from contextlib import AbstractContextManager

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from pipeline.data.picture import grid
from pipeline.generator.denoiser import Denoiser
from pipeline.generator.resolution import enlarge
from pipeline.generator.sampler import Sampler, conditioned, to_pixels
from pipeline.randomness import SHEET, normals

COLUMNS, ROWS = 8, 16  # of many classes the first
STEPS = 18


def contact_sheet(
    denoiser: Denoiser,
    seed: int,
    side: int,
    device: torch.device,
    autocast: Callable[[], AbstractContextManager[object]],
) -> Image.Image:
    """The same noises at every call; images enlarged to ``side`` pixels as generated data are."""
    size = denoiser.size
    classes = range(min(ROWS, size.classes))
    noise = sheet_noise(seed, size.resolution).repeat(len(classes), 1, 1, 1).to(device)
    labels = torch.eye(size.classes, device=device)[: len(classes)].repeat_interleave(COLUMNS, dim=0)
    was_training = denoiser.training
    x = Sampler(STEPS).solve(noise, conditioned(denoiser.eval(), labels, None, autocast))
    denoiser.train(was_training)
    images = enlarge(to_pixels(x).numpy(), side)
    return grid(images.reshape(len(classes), COLUMNS, side, side, 3))


def sheet_noise(seed: int, resolution: int) -> Tensor:
    """[COLUMNS, 3, R, R]."""
    drawn = normals(seed, SHEET, np.zeros(COLUMNS), np.arange(COLUMNS), 3 * resolution**2)
    return torch.from_numpy(drawn).view(COLUMNS, 3, resolution, resolution)
