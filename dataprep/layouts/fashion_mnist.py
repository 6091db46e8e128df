"""Fashion-MNIST in MNIST's idx files, as https://github.com/zalandoresearch/fashion-mnist distributes it.

The files are taken as they come (.gz) or unpacked, from a folder or from the one that torchvision's download makes.
Images are grey; they are stored with three equal channels.
"""

from pathlib import Path

import numpy as np

from dataprep.layouts.array_files import Images, read_idx
from dataprep.layouts.array_set import ArraySet
from dataprep.layouts.listing import Listing, ListingRequest
from dataprep.layouts.native_files import NativeFiles

SIZE = 28
PUBLISHED = {"train": 60_000, "test": 10_000}
FILES = {  # subset: images, labels
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
MD5 = {  # unpacked; torchvision has those of the .gz
    "train-images-idx3-ubyte": "f4a8712d7a061bf5bd6d2ca38dc4d50a",
    "train-labels-idx1-ubyte": "9018921c3c673c538a1fc5bad174d6f9",
    "t10k-images-idx3-ubyte": "8181f5470baa50b63fa0f6fddb340f0a",
    "t10k-labels-idx1-ubyte": "15d484375f8d13e6eb1aabb0c3f46965",
}
TORCHVISION = ("FashionMNIST/raw", "raw")  # below what its `root` is, and below the folder in it


def list_fashion_mnist(request: ListingRequest) -> Listing:
    """60,000 training and 10,000 test images of ten kinds of clothes, 28 px."""
    from torchvision.datasets import FashionMNIST  # torch takes seconds to import

    files = _files()
    folder = files.find(request)
    classes = list(FashionMNIST.classes)
    arrays = ArraySet(files=files, folder=folder, size=SIZE, num_classes=len(classes), work=request.work)
    for subset, wanted in FILES.items():
        names = [found for name in wanted if (found := files.name_in(folder, name))]
        labels = read_idx(folder / names[1], 1).astype(np.int64)
        arrays.add(subset, _read_images(folder / names[0]), labels, names, PUBLISHED[subset])
    return arrays.listing(classes)


def _read_images(file: Path) -> Images:
    """uint8 [N,28,28]."""
    images = read_idx(file, 3)
    if images.shape[1:] != (SIZE, SIZE):
        height, width = images.shape[1:]
        raise ValueError(f"{file}: its images are {width}x{height}, not {SIZE}x{SIZE}; download it again")
    return images


def _files() -> NativeFiles:
    from torchvision.datasets import FashionMNIST

    def download(folder: Path, missing: list[str]) -> None:
        from torchvision.datasets.utils import download_url

        for name in missing:
            download_url(f"{FashionMNIST.mirrors[0]}{name}.gz", folder, f"{name}.gz", gz_md5[f"{name}.gz"])

    gz_md5 = dict(FashionMNIST.resources)
    addresses = [f"{FashionMNIST.mirrors[0]}{name}" for name in gz_md5]
    return NativeFiles(
        name="fashion_mnist", addresses=addresses, md5=MD5, gz_md5=gz_md5, download=download, also=TORCHVISION
    )
