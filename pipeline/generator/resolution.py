"""From stored images to the smaller ones that a generator makes, and back.

A stored image is enlarged as the data set's own small images were: Pillow's bilinear filter (dataprep/images).
Bilinear enlargement E is linear along each axis, so for a set whose originals were small, such as the 8x8 digits, its
pseudo-inverse gives the originals back; the mean of areas would blur them.
"""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

Pixels = NDArray[np.uint8]


def enlarge(images: Pixels, side: int) -> Pixels:
    """uint8 [N, R, R, 3] -> [N, S, S, 3] with S = ``side``."""
    if images.shape[1] == side:
        return images
    resized = [Image.fromarray(image).resize((side, side), Image.Resampling.BILINEAR) for image in images]
    return np.stack([np.asarray(image) for image in resized])


def area_means(resolution: int, side: int) -> NDArray[np.float32]:
    """[R, S]: the mean over each stretch of S / R pixels."""
    return np.kron(np.eye(resolution), np.full(side // resolution, resolution / side)).astype(np.float32)


def undone_enlargement(resolution: int, side: int) -> NDArray[np.float32]:
    """[R, S]: what ``enlarge`` makes the stored image of, or in the least-squares sense nearly so."""
    unit = Image.fromarray(np.eye(resolution, dtype=np.float32))
    enlargement = np.asarray(unit.resize((resolution, side), Image.Resampling.BILINEAR))
    return np.linalg.pinv(enlargement).astype(np.float32)


REDUCTIONS: dict[str, Callable[[int, int], NDArray[np.float32]]] = {
    "area": area_means,
    "undo_enlargement": undone_enlargement,
}


class Reduction:
    """``how`` as the option ``reduce``: uint8 [B, 3, S, S] -> float32 [B, 3, R, R] in [-1, 1], on the device."""

    def __init__(self, how: str, resolution: int, side: int, device: torch.device) -> None:
        same = resolution == side
        self.axis = None if same else torch.from_numpy(REDUCTIONS[how](resolution, side)).to(device)

    def __call__(self, images: Tensor) -> Tensor:
        """See the class."""
        pixels = images.float()
        if self.axis is not None:
            pixels = (self.axis @ pixels @ self.axis.T).clamp(0, 255)
        return pixels / 127.5 - 1


def check_resolution(resolution: int, side: int, levels: int, option: str) -> None:
    """ValueError where images of ``side`` pixels cannot be made of ``resolution`` by a network of so many levels."""
    if side % resolution:
        fitting = ", ".join(str(n) for n in range(4, side + 1) if side % n == 0)
        raise ValueError(f"{option}={resolution} does not divide the {side} px of the stored images: choose {fitting}")
    smallest = 2 ** (levels - 1)
    if resolution % smallest:
        raise ValueError(
            f"{option}={resolution} cannot be halved for {levels} levels: choose a multiple of {smallest}, or fewer "
            "network.multipliers"
        )
