"""Groups to be packed, wherever they come from: what is known of all of them, and pieces that a worker reads."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dataprep.generated.manifest import SourceRecord
from dataprep.generated.shards import Settings

Ints = NDArray[np.int64]


class Piece(Protocol):
    """Some consecutive groups. Must be picklable: it is sent to a worker."""

    def images(self) -> Iterator[Image.Image]:
        """RGB squares of the stored size, place after place, group after group. Raises ValueError naming a bad file."""
        ...


@dataclass(frozen=True)
class Source:
    """first, second: int64 [G], classes a < b of each group. ratios: float64 [S], share of a at each place.

    side: pixels of the stored images. pieces: in the order of the groups. positions: of the labelled images that the
    generator was trained on, None where they are not known. seed: of the noise, None where it is not known.
    """

    dataset: str
    classes: list[str]
    first: Ints
    second: Ints
    ratios: NDArray[np.float64]
    side: int
    pieces: list[Piece]
    record: SourceRecord
    settings: Settings | None
    positions: Ints | None

    @property
    def num_images(self) -> int:
        return len(self.first) * len(self.ratios)
