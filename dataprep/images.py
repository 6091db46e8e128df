"""The work done on images in worker processes: look at headers, or decode, square and encode."""

import io
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from dataprep.sources import Entry, Reader

SMALL = 96  # up to this side images are stored as they are, uncompressed
_VALUES = np.arange(256, dtype=np.int64)


@dataclass(frozen=True)
class Recipe:
    """How images are stored: squares of `size` pixels, `encoding` 'raw' or 'jpg' of `quality` 1..100."""

    size: int
    encoding: str
    quality: int


@dataclass
class Encoded:
    """A stretch of stored images: their bytes end to end, sizes and labels [n].

    sums: int64 [2,3], sum and sum of squares of each channel's 0..255 values before compression.
    rejects: (path, reason) of entries left out.
    """

    data: bytes = b""
    sizes: list[int] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    sums: NDArray[np.int64] = field(default_factory=lambda: np.zeros((2, 3), np.int64))
    rejects: list[tuple[str, str]] = field(default_factory=list)


def encode_chunk(reader: Reader, recipe: Recipe, entries: list[Entry]) -> Encoded:
    """Decode each entry once and encode it; whatever fails on one image makes it a reject, not an end."""
    result, parts = Encoded(), []
    for entry in entries:
        try:
            with reader.open(entry) as opened:
                image = square(opened, recipe.size)
        except Exception as error:  # PIL's plugins raise nearly anything on damaged files
            result.rejects.append((entry.path, reason(error, entry)))
            continue
        parts.append(encode(image, recipe))
        result.sizes.append(len(parts[-1]))
        result.labels.append(entry.label)
        result.sums += channel_sums(image)
    result.data = b"".join(parts)
    return result


def square(image: Image.Image, size: int) -> Image.Image:
    """RGB image of `size` x `size`: the shorter side resized (bilinear, antialiased), the centre kept.

    Resizing only the central square is the same picture as resizing all and cropping, at less cost.
    A JPEG much larger than needed is decoded at a fraction of its size, but at least twice the target.
    """
    image.draft(None, (2 * size, 2 * size))
    rgb = image.convert("RGB")  # as torchvision's loader
    width, height = rgb.size
    if (width, height) == (size, size):
        return rgb
    side = min(width, height)
    left, top = (width - side) / 2, (height - side) / 2
    box = (left, top, left + side, top + side)
    return rgb.resize((size, size), Image.Resampling.BILINEAR, box=box, reducing_gap=2.0)


def encode(image: Image.Image, recipe: Recipe) -> bytes:
    """Bytes as FFCV stores them: interleaved uint8 [H,W,3], or a JPEG file."""
    if recipe.encoding == "raw":
        return image.tobytes()
    out = io.BytesIO()
    image.save(out, "JPEG", quality=recipe.quality)
    return out.getvalue()


def channel_sums(image: Image.Image) -> NDArray[np.int64]:
    """Exact int64 [2,3]: sum and sum of squares per channel, by way of the histogram (fast in PIL)."""
    histogram = np.array(image.histogram(), dtype=np.int64).reshape(3, 256)
    return np.stack([histogram @ _VALUES, histogram @ _VALUES**2])


def reason(error: Exception, entry: Entry) -> str:
    """Why an image was refused, on one line, the same in every run."""
    if isinstance(error, UnidentifiedImageError):  # its text holds a memory address
        return "not an image" if entry.size else "empty file"
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def native_sizes(reader: Reader, entries: list[Entry]) -> dict[tuple[int, int], str]:
    """Image sizes (width, height) from headers, each with one path; stops at the second size.

    Unreadable headers are passed over: the encoder will report them.
    """
    found: dict[tuple[int, int], str] = {}
    for entry in entries:
        try:
            with reader.open(entry) as image:
                found.setdefault(image.size, entry.path)
        except Exception:
            continue
        if len(found) > 1:
            break
    return found
