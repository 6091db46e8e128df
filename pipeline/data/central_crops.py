"""Images as evaluation sees them: the central crop of each, once, without augmentation."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from pipeline.augment import kernels
from pipeline.data.beton_reader import BetonReader, Ints, Pixels, cut


class CentralCrops:
    """Central crops of ``size`` pixels of the images of a beton, all or those at ``indices``, each exactly once.

    Rank ``rank`` of ``world`` reads a contiguous part of them. ``resize_to``: the size of a network that was trained on
    other images; bilinear with antialiasing, as torchvision's Resize. ``fields``: the beton's fields of integers, of
    which ``numbers`` has those of these images, int64 [n] each.
    """

    def __init__(
        self,
        beton: Path,
        size: int,
        batch_size: int,
        threads: int,
        *,
        indices: Ints | None = None,
        rank: int = 0,
        world: int = 1,
        resize_to: int | None = None,
        fields: tuple[str, ...] = ("label",),
    ) -> None:
        self.size, self.batch_size, self.resize_to = size, batch_size, resize_to or size
        self.reader = BetonReader(str(beton), batch_size, threads, self._crop, fields)
        self.indices = np.arange(self.reader.num) if indices is None else indices
        self.numbers = {name: values[self.indices] for name, values in self.reader.numbers.items()}
        num = len(self.indices)
        self.slices = [np.arange(r * num // world, (r + 1) * num // world) for r in range(world)]
        self.mine = self.slices[rank]

    @property
    def labels(self) -> Ints:
        """Of these images, int64 [n], in a beton that has labels."""
        return self.numbers["label"]

    def batches(self) -> Iterator[Tensor]:
        """This rank's images in order: uint8 [b, 3, S, S], channels_last."""
        yield from self.reader.read(cut(self.indices[self.mine], self.batch_size))

    def _crop(self, decoded: Pixels, _: Ints) -> Tensor:
        out = torch.empty(
            len(decoded), self.size, self.size, 3, dtype=torch.uint8, pin_memory=torch.cuda.is_available()
        )
        kernels.center_crop(decoded, out.numpy())
        images = out.permute(0, 3, 1, 2)
        if self.resize_to == self.size:
            return images
        side = self.resize_to, self.resize_to
        resized = interpolate(images.float(), size=side, mode="bilinear", antialias=True)
        return resized.round().clamp(0, 255).to(torch.uint8)
