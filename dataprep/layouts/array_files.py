"""Arrays out of pickles (CIFAR), .mat (SVHN), .bin (STL-10) and idx files: nothing in a file is run, scaled or rounded.

Whatever a file holds that its format does not promise is a ValueError that names the file.
"""

import gzip
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataprep.console import plural
from dataprep.layouts.safe_pickle import load_arrays

Images = NDArray[np.uint8]
Labels = NDArray[np.int64]
REMEDY = "download it again"
_GZIP = b"\x1f\x8b"
_IDX_BYTES = 0x08  # what an idx file calls numbers of 8 bits without a sign


def read_batch(file: Path, labels_key: str, side: int) -> tuple[Images, Labels]:
    """Images uint8 [N,3,side,side] and labels int64 [N] of one CIFAR batch, never running what is in it."""
    content = read_pickle(file)
    if missing := {"data", labels_key} - content.keys():
        raise ValueError(f"{file}: lacks {', '.join(sorted(missing))}; {REMEDY}")
    images = _eight_bit(file, content["data"])
    if images.ndim != 2 or images.shape[1] != 3 * side**2:
        raise ValueError(f"{file}: its data have the shape {images.shape}, not [images, {3 * side**2}]; {REMEDY}")
    return images.reshape(-1, 3, side, side), _integers(file, content[labels_key])


def read_pickle(file: Path) -> dict[str, Any]:
    """The dictionary in a CIFAR file, with text where Python 2 wrote byte strings."""
    try:
        return load_arrays(file)
    except Exception as error:  # a damaged pickle can raise nearly anything
        raise ValueError(f"{file}: cannot be read as a CIFAR batch ({_one_line(error)}); {REMEDY}") from error


def read_mat(file: Path) -> tuple[Images, Labels]:
    """Images uint8 [N,H,W,3] and labels int64 [N] of an SVHN file; its label 10 is the digit 0."""
    from scipy.io import loadmat  # slow to import

    try:
        content = loadmat(file, variable_names=["X", "y"])
        images, labels = content["X"], np.ravel(content["y"])
    except Exception as error:  # scipy raises many things on a damaged file, KeyError on one without X or y
        raise ValueError(f"{file}: cannot be read as SVHN ({_one_line(error)}); {REMEDY}") from error
    images, numbers = _eight_bit(file, images), _integers(file, labels)
    if images.ndim == 3 and len(numbers) == 1:  # MATLAB drops the axis of a single image
        images = images[..., None]
    if images.ndim != 4 or images.shape[2] != 3:
        raise ValueError(f"{file}: X has the shape {images.shape}, not [height, width, 3, images]; {REMEDY}")
    return images.transpose(3, 0, 1, 2), np.where(numbers == 10, 0, numbers)


def read_bytes(file: Path, *shape: int) -> Images:
    """uint8 [N, *shape] of a file of plain bytes."""
    data, each = np.fromfile(file, np.uint8), int(np.prod(shape))
    if len(data) % each:
        raise ValueError(f"{file}: {len(data):,} bytes are no whole number of images of {each:,} bytes; {REMEDY}")
    return data.reshape(-1, *shape)


def read_idx(file: Path, dimensions: int) -> Images:
    """The uint8 array of so many dimensions in an idx file (the format of MNIST), plain or compressed by gzip."""
    data = _unpacked(file)
    if len(data) < 4 or data[:2] != bytes(2):
        raise ValueError(f"{file}: not an idx file; {REMEDY}")
    if data[2:4] != bytes([_IDX_BYTES, dimensions]):
        raise ValueError(f"{file}: not an idx file of bytes in {plural(dimensions, 'dimension')}; {REMEDY}")
    start = 4 + 4 * dimensions
    shape = [int.from_bytes(data[i : i + 4], "big") for i in range(4, start, 4)]
    found, promised = max(len(data) - start, 0), int(np.prod(shape, dtype=object))
    if found != promised:
        raise ValueError(
            f"{file}: {found:,} bytes, but its header says {' x '.join(map(str, shape))} = {promised:,}; {REMEDY}"
        )
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape)


def _unpacked(file: Path) -> bytes:
    """The content of a file, decompressed if it begins as gzip does."""
    data = file.read_bytes()
    try:
        return gzip.decompress(data) if data.startswith(_GZIP) else data
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{file}: its compressed data is damaged ({_one_line(error)}); {REMEDY}") from error


def _eight_bit(file: Path, images: Any) -> Images:
    """`images` if they are bytes. Other numbers would have to be scaled, and how is anyone's guess."""
    if not isinstance(images, np.ndarray) or images.dtype != np.uint8:
        found = images.dtype if isinstance(images, np.ndarray) else f"a {type(images).__name__}"
        raise ValueError(f"{file}: its pixels are {found}, not uint8 from 0 to 255; convert them, or {REMEDY}")
    return images


def _integers(file: Path, labels: Any) -> Labels:
    """Labels as int64; floating-point numbers, as MATLAB likes to write them, only where they are whole."""
    found = np.asarray(labels)
    if found.ndim != 1 or found.dtype.kind not in "iuf":
        raise ValueError(f"{file}: its labels are not a list of whole numbers; {REMEDY}")
    whole = found.astype(np.int64)
    if (whole != found).any():
        raise ValueError(f"{file}: the label {found[whole != found][0]:g} is not a whole number; {REMEDY}")
    return whole


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
