"""How images are stored, derived from what the user asked for and from the images themselves."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, cast

from dataprep.data_folder.manifest import Manifest
from dataprep.images.decoding import Recipe
from dataprep.images.native_size import MAX_RAW_SIDE

CROP_SHARE = 0.875  # of the stored side, for photos: 224 of 256
PHOTO = (224, 256)  # image size, stored size


@dataclass(frozen=True)
class StorageRequest:
    """The user's storage options; None leaves a size open, encoding 'auto' the encoding. Sizes in pixels."""

    image_size: int | None
    stored_size: int | None
    encoding: str
    jpeg_quality: int
    resize: str
    flip: bool

    @property
    def depends_on_images(self) -> bool:
        """Whether the sizes follow from the images' native size."""
        return self.image_size is None and self.stored_size is None


@dataclass(frozen=True)
class Storage:
    """How images are stored and meant to be cropped; sizes are sides of squares in pixels.

    jpeg_quality is None for raw images, train_resize where all images are squares of the stored size anyway: runs
    that differ only in an option that has no effect are the same.
    """

    image_size: int
    stored_size: int
    encoding: str
    jpeg_quality: int | None
    train_resize: str | None
    flip: bool

    def recipe(self, beton: str) -> Recipe:
        """What workers do with the images of 'train' or 'test'; test images keep their aspect ratio."""
        resize = (self.train_resize or "squash") if beton == "train" else "crop"
        return Recipe(size=self.stored_size, encoding=self.encoding, quality=self.jpeg_quality or 0, resize=resize)

    @property
    def crop_padding(self) -> int:
        """Pixels of padding before a random crop; 0 where the stored image is larger than the crop anyway."""
        return self.image_size // 8 if self.stored_size == self.image_size else 0

    def estimated_bytes(self, num_images: int) -> int:
        """Upper estimate of the bytes of encoded images: a photo at quality 90 has less than 2 bits per value."""
        pixels = 3 * self.stored_size**2
        return num_images * (pixels if self.encoding == "raw" else pixels // 4)

    def differences(self, manifest: Manifest) -> list[str]:
        """The options with which the data folder described by `manifest` was made differently."""
        made: Mapping[str, Any] = {**cast(dict[str, Any], manifest), **manifest["writer"]}
        wanted = {key: value for key, value in asdict(self).items() if key != "flip"}.items()  # changed in place
        return [f"{key} is {made.get(key)}, not {value}" for key, value in wanted if made.get(key) != value]


def resolve_storage(request: StorageRequest, native_size: int | None) -> Storage:
    """Fill in what the user left open. native_size: side shared by all images, 0 or None if there is none.

    Raises ValueError for an image size above the stored size.
    """
    image, stored = _sizes(request, native_size or 0)
    if image > stored:
        raise ValueError(
            f"--image-size {image} is larger than --stored-size {stored}; images must be stored at least as large "
            "as they are used"
        )
    encoding = request.encoding
    if encoding == "auto":
        encoding = "raw" if stored <= MAX_RAW_SIDE else "jpg"
    return Storage(
        image_size=image,
        stored_size=stored,
        encoding=encoding,
        jpeg_quality=request.jpeg_quality if encoding == "jpg" else None,
        train_resize=None if native_size == stored else request.resize,
        flip=request.flip,
    )


def _sizes(request: StorageRequest, native_size: int) -> tuple[int, int]:
    image, stored = request.image_size, request.stored_size
    if image is None and stored is None:
        return (native_size, native_size) if native_size else PHOTO
    if stored is None:
        assert image is not None
        return image, image if image <= MAX_RAW_SIDE else round(image / CROP_SHARE)
    if image is None:
        return stored if stored <= MAX_RAW_SIDE else round(stored * CROP_SHARE), stored
    return image, stored
