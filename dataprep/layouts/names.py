"""What files and folders are recognised by: their names. Every layout asks here."""

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")  # torchvision's
TRAIN = "train"
PARTS = {  # of a set: the names of folders that hold them, in lower case
    "train": ("train", "training"),
    "validation": ("val", "valid", "validation"),
    "test": ("test", "testing"),
    "unlabelled": ("unlabelled", "unlabeled"),
    "extra": ("extra",),
}
_PART_BY_NAME = {name: part for part, names in PARTS.items() for name in names}


def is_image(path: str) -> bool:
    """Whether a file is taken for an image, by its suffix."""
    return path.lower().endswith(IMAGE_SUFFIXES)


def is_hidden(path: str) -> bool:
    """Whether a file or one of its folders is hidden, or one of the extra files macOS puts into archives."""
    return any(part.startswith((".", "__MACOSX")) for part in path.split("/"))


def top_folder(path: str) -> str:
    """The first component of a path; the file's own name where it lies in no folder."""
    return path.split("/", 1)[0]


def part_of_set(folder: str) -> str | None:
    """Which of PARTS a folder's name stands for, in any case; None for another name."""
    return _PART_BY_NAME.get(folder.lower())
