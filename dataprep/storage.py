"""What the user asked for, and how images are stored as a consequence."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dataprep.images import SMALL, Recipe

CROP_SHARE = 0.875  # of the stored side, for photos: 224 of 256
PHOTO = (224, 256)  # image size, stored size


@dataclass(frozen=True)
class Options:
    """The command line, checked for what can be checked without looking at the source."""

    dataset: str
    name: str
    source: Path | None
    out: Path
    labels_per_class: tuple[int, ...] | None
    label_fraction: float
    seeds: tuple[int, ...]
    workers: int
    max_rejected: float
    test_fraction: float
    image_size: int | None
    stored_size: int | None
    encoding: str
    jpeg_quality: int
    resize: str
    flip: bool
    classes: int | None
    extra: bool
    download: bool
    verify: bool


@dataclass(frozen=True)
class Storage:
    """How images are stored and meant to be cropped; all sizes are sides of squares in pixels.

    jpeg_quality is None for raw images, train_resize where all images are squares of one size anyway: two
    runs that differ in an unused option are the same.
    """

    image_size: int
    stored_size: int
    encoding: str
    jpeg_quality: int | None
    train_resize: str | None
    flip: bool

    def recipe(self, beton: str) -> Recipe:
        """What workers do with the images of 'train' or 'test'; a test image keeps its aspect."""
        resize = (self.train_resize or "squash") if beton == "train" else "crop"
        return Recipe(self.stored_size, self.encoding, self.jpeg_quality or 0, resize)

    @property
    def crop_padding(self) -> int:
        """Pixels to pad before a random crop; 0 where the stored image is larger than the crop anyway."""
        return self.image_size // 8 if self.stored_size == self.image_size else 0

    def estimate(self, count: int) -> int:
        """Bytes `count` encoded images take, rather too many: a photo at quality 90 has under 2 bits a value."""
        pixels = 3 * self.stored_size**2
        return count * (pixels if self.encoding == "raw" else pixels // 4)

    def differences(self, manifest: dict[str, Any]) -> list[str]:
        """Options in which the data folder described by `manifest` was made otherwise."""
        there = {**manifest, **manifest["writer"]}
        wanted = asdict(self).items()
        return [f"{key} is {there.get(key)}, not {value}" for key, value in wanted if there.get(key) != value]


def needs_native_size(options: Options) -> bool:
    """Whether sizes depend on the images themselves."""
    return options.image_size is None and options.stored_size is None


def resolve(options: Options, native_size: int | None) -> Storage:
    """Fill in what the user left open. native_size: side common to all images, 0 or None if there is none.

    Raises ValueError for an image size above the stored size.
    """
    image, stored = _sizes(options, native_size or 0)
    if image > stored:
        raise ValueError(f"--image-size {image} is larger than --stored-size {stored}; store at least the crop")
    encoding = options.encoding
    if encoding == "auto":
        encoding = "raw" if stored <= SMALL else "jpg"
    quality = options.jpeg_quality if encoding == "jpg" else None
    resize = None if native_size == stored else options.resize
    return Storage(image, stored, encoding, quality, resize, options.flip)


def _sizes(options: Options, native_size: int) -> tuple[int, int]:
    image, stored = options.image_size, options.stored_size
    if image is None and stored is None:
        return (native_size, native_size) if native_size else PHOTO
    if stored is None:
        assert image is not None
        return image, image if image <= SMALL else round(image / CROP_SHARE)
    if image is None:
        return stored if stored <= SMALL else round(stored * CROP_SHARE), stored
    return image, stored
