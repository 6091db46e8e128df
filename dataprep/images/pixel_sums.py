"""Exact sums over the pixels of many images, from which mean and standard deviation follow."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

_FOLD_AT = 1 << 18  # bytes, which the cache holds; a numpy call costs microseconds, which is much for one small image


@dataclass
class PixelSums:
    """Sums over RGB images `width` pixels wide: of each channel's values 0..255, and of their squares."""

    width: int
    _sums: NDArray[np.int64] = field(default_factory=lambda: np.zeros((2, 3), np.int64))
    _waiting: list[bytes] = field(default_factory=list)
    _bytes: int = 0

    def add(self, pixels: bytes) -> None:
        """Add one image, interleaved uint8 [H,W,3]."""
        self._waiting.append(pixels)
        self._bytes += len(pixels)
        if self._bytes >= _FOLD_AT:
            self._fold()

    def totals(self) -> NDArray[np.int64]:
        """int64 [2,3]: sums of values, sums of squares."""
        self._fold()
        return self._sums

    def _fold(self) -> None:
        """Rows are added as vectors of 32 bits: below 66,000 rows not even squares can overflow."""
        rows = np.frombuffer(b"".join(self._waiting), np.uint8).reshape(-1, 3 * self.width)
        self._waiting, self._bytes = [], 0
        values, squares = rows.sum(0, dtype=np.uint32), np.square(rows, dtype=np.uint16).sum(0, dtype=np.uint32)
        self._sums += np.stack([values, squares]).reshape(2, -1, 3).sum(1, dtype=np.int64)


def channel_statistics(sums: NDArray[np.int64], num_pixels: int) -> tuple[list[float], list[float]]:
    """Mean and population standard deviation per channel, in [0,1], from int64 sums [2,3] as PixelSums gives them."""
    mean = sums[0] / num_pixels
    # Integers are exact up to here, so the difference of squares loses nothing that matters.
    std = np.sqrt(np.maximum(sums[1] / num_pixels - mean**2, 0.0))
    return [float(m) for m in mean / 255], [float(s) for s in std / 255]
