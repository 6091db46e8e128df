"""What happens to one image: decode it, make it square, encode it."""

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image

from dataprep.sources.entries import Content

MAX_PIXELS = 178_956_970  # of an intermediate image: where PIL itself warns of a decompression bomb


@dataclass(frozen=True)
class Recipe:
    """How images are stored: squares of `size` pixels, `encoding` 'raw', or 'jpg' of `quality` 1..100.

    resize: 'squash' or 'crop', see `to_square`.
    """

    size: int
    encoding: str
    quality: int
    resize: str


def open_image(content: Content) -> Image.Image:
    """An image whose pixels are not decoded yet, except those of an array's row."""
    return Image.open(io.BytesIO(content)) if isinstance(content, bytes) else Image.fromarray(content)


def decode(content: Content, recipe: Recipe) -> Image.Image:
    """Decode one image and make it square. Raises whatever PIL's plugins raise, which can be nearly anything."""
    with open_image(content) as opened:
        _check_depth(opened)
        return to_square(opened, recipe.size, recipe.resize)


def _check_depth(image: Image.Image) -> None:
    """Raises ValueError for a grey image of 16 or more bits, or of floating-point numbers, that 8 bits cannot hold.

    PIL's conversion, and so torchvision's loader, would clip its values at 255: a white image, without a word. How it
    should be scaled instead is anyone's guess.
    """
    if image.mode not in ("I", "F") and not image.mode.startswith("I;"):
        return
    values = np.asarray(image)
    lowest, highest = values.min(), values.max()
    if lowest < 0 or highest > 255 or (values != np.rint(values)).any():
        raise ValueError(
            f"grey values from {lowest:g} to {highest:g}, which 8 bits do not hold and clipping would lose; convert it "
            "to 8 bits"
        )


def to_square(image: Image.Image, size: int, resize: str) -> Image.Image:
    """RGB image of `size` x `size`, pixel-equal to torchvision's loader and transforms on PIL images.

    'squash' is Resize((size, size)), which ignores the aspect ratio; 'crop' is Resize(size), CenterCrop(size).
    Both are bilinear with antialiasing. JPEGs are decoded at full size: PIL's draft mode would be faster on
    very large photos, but not pixel-equal. As in torchvision's loader, EXIF rotation is ignored, transparency is
    dropped and an animation yields its first frame. Raises ValueError for an image too thin to crop a square from.
    """
    if image.size == (size, size):
        return image.convert("RGB")
    rgb = image if image.mode == "RGB" else image.convert("RGB")  # which copies, even where nothing changes
    if resize == "squash":
        return rgb.resize((size, size), Image.Resampling.BILINEAR)
    short, long = sorted(rgb.size)
    resized_long = size * long // short
    if size * resized_long > MAX_PIXELS:
        raise ValueError(f"{rgb.width}x{rgb.height} is too thin to crop a square from")
    width, height = (size, resized_long) if rgb.width <= rgb.height else (resized_long, size)
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
