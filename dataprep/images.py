"""What is done to one image: look at its header, or decode, square and encode it."""

import errno
import io
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from dataprep.sources import Entry, Reader

SMALL = 96  # up to this side images are stored as they are, uncompressed
WIDEST = 178_956_970  # pixels of an intermediate image: where PIL itself speaks of a decompression bomb
_GONE = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOTCONN, errno.ESTALE, errno.ETIMEDOUT)


@dataclass(frozen=True)
class Recipe:
    """How images are stored: squares of `size` pixels, `encoding` 'raw' or 'jpg' of `quality` 1..100.

    resize: 'squash' or 'crop', see `to_square`.
    """

    size: int
    encoding: str
    quality: int
    resize: str


@dataclass
class Tally:
    """Sums over the pixels of many images; int64 [2,3]: of each channel's values 0..255, and of their squares."""

    width: int
    _sums: NDArray[np.int64] = field(default_factory=lambda: np.zeros((2, 3), np.int64))
    _waiting: list[bytes] = field(default_factory=list)
    _bytes: int = 0

    def add(self, pixels: bytes) -> None:
        """One RGB image `width` pixels wide, interleaved uint8."""
        self._waiting.append(pixels)
        self._bytes += len(pixels)
        if self._bytes >= 1 << 20:  # numpy costs microseconds a call: much against one small image
            self._fold()

    def sums(self) -> NDArray[np.int64]:
        self._fold()
        return self._sums

    def _fold(self) -> None:
        """Rows are added as vectors of 32 bits: below 66,000 rows even squares can't overflow."""
        rows = np.frombuffer(b"".join(self._waiting), np.uint8).reshape(-1, 3 * self.width)
        self._waiting, self._bytes = [], 0
        values, squares = rows.sum(0, dtype=np.uint32), np.square(rows, dtype=np.uint16).sum(0, dtype=np.uint32)
        self._sums += np.stack([values, squares]).reshape(2, -1, 3).sum(1, dtype=np.int64)


def read(reader: Reader, entry: Entry, recipe: Recipe) -> Image.Image:
    """Decode one image and square it. Raises whatever PIL's plugins raise, which is nearly anything."""
    with reader.open(entry) as opened:
        return to_square(opened, recipe.size, recipe.resize)


def to_square(image: Image.Image, size: int, resize: str) -> Image.Image:
    """RGB image of `size` x `size`, pixel-equal to torchvision's loader and transforms on PIL images.

    'squash' is Resize((size, size)), which distorts the aspect; 'crop' is Resize(size), CenterCrop(size).
    Both are bilinear with antialias. JPEGs are decoded at full size: PIL's draft mode would be faster on
    very large photos and not equal. EXIF rotation is left alone, transparency dropped, of an animation the
    first image taken: as the loader does. Raises ValueError for a strip too thin to be cropped from.
    """
    rgb = image.convert("RGB")
    if rgb.size == (size, size):
        return rgb
    if resize == "squash":
        return rgb.resize((size, size), Image.Resampling.BILINEAR)
    short, long = sorted(rgb.size)
    stretched = size * long // short
    if size * stretched > WIDEST:
        raise ValueError(f"{rgb.width}x{rgb.height} is too thin a strip to crop a square from")
    width, height = (size, stretched) if rgb.width <= rgb.height else (stretched, size)
    left, top = round((width - size) / 2), round((height - size) / 2)
    resized = rgb.resize((width, height), Image.Resampling.BILINEAR)
    return resized.crop((left, top, left + size, top + size))


def encode(image: Image.Image, pixels: bytes, recipe: Recipe) -> bytes:
    """Bytes as FFCV stores them: interleaved uint8 [H,W,3] (`pixels`, those of `image`), or a JPEG file."""
    if recipe.encoding == "raw":
        return pixels
    out = io.BytesIO()
    image.save(out, "JPEG", quality=recipe.quality)
    return out.getvalue()


def reason(error: Exception, entry: Entry) -> str:
    """Why an image was refused, on one line, the same in every run."""
    if isinstance(error, UnidentifiedImageError):  # its text holds a memory address
        return "not an image" if entry.size else "empty file"
    if isinstance(error, OSError) and error.errno is not None:  # its text holds the folder, which moves
        return f"{type(error).__name__}: {error.strerror}"
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def is_machines_fault(error: Exception) -> bool:
    """Whether reading failed for a cause that would strike the next images too."""
    return isinstance(error, OSError) and error.errno in _GONE


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
