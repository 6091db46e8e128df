"""What workers do with a piece of groups: encode its images into a file of their own. Imports no FFCV."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dataprep.data_folder.whole_files import replacing
from dataprep.generated.source import Piece
from dataprep.images.decoding import Recipe, encode
from dataprep.workers import report

_REPORT_EVERY = 32  # images between two reports of progress


@dataclass(frozen=True)
class Encoded:
    """A file of encoded images end to end; sizes: bytes of each, int64 [n]. number: of the piece."""

    number: int
    file: Path
    sizes: NDArray[np.int64]


def encode_piece(number: int, piece: Piece, recipe: Recipe, file: Path) -> Encoded:
    """Raises ValueError naming a file that cannot be used, OSError when the disk is full."""
    sizes: list[int] = []
    with replacing(file) as out:
        for image in piece.images():
            data = encode(image, image.tobytes(), recipe)
            out.write(data)
            sizes.append(len(data))
            if len(sizes) % _REPORT_EVERY == 0:
                report(_REPORT_EVERY)
    report(len(sizes) % _REPORT_EVERY)
    return Encoded(number, file, np.array(sizes, np.int64))
