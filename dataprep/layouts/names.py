"""What files and folders are recognised by: their names. Every layout asks here."""

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")  # torchvision's
TRAIN = "train"
TEST_NAMES = ("test", "val")  # the first one present holds the test images
UNLABELLED_NAMES = ("unlabelled", "unlabeled")


def is_image(path: str) -> bool:
    """Whether a file is taken for an image, by its suffix."""
    return path.lower().endswith(IMAGE_SUFFIXES)


def is_hidden(path: str) -> bool:
    """Whether a file or one of its folders is hidden, or one of the extra files macOS puts into archives."""
    return any(part.startswith((".", "__MACOSX")) for part in path.split("/"))


def top_folder(path: str) -> str:
    """The first component of a path; the file's own name where it lies in no folder."""
    return path.split("/", 1)[0]


def pick_test_folder(tops: set[str]) -> str:
    """The name, among top folders, of the one that holds the test images."""
    return next((name for name in TEST_NAMES if name in tops), TEST_NAMES[-1])
