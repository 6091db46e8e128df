"""STL-10 in its binary form, as https://cs.stanford.edu/~acoates/stl10 distributes it."""

from pathlib import Path

import numpy as np

from dataprep.layouts.array_files import read_bytes
from dataprep.layouts.array_set import ArraySet
from dataprep.layouts.listing import Listing, ListingRequest
from dataprep.layouts.native_files import NativeFiles

SIZE = 96
CLASSES = ["airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck"]
SUBSETS = {  # subset: published size, files
    "train": (5_000, ("train_X.bin", "train_y.bin")),
    "unlabeled": (100_000, ("unlabeled_X.bin",)),
    "test": (8_000, ("test_X.bin", "test_y.bin")),
}


def list_stl10(request: ListingRequest) -> Listing:
    """5,000 labelled and 100,000 unlabelled (label -1) training images, 8,000 test images.

    The ten predefined folds are not used: label splits are drawn from all labelled images.
    """
    files = _files()
    folder = files.find(request)
    arrays = ArraySet(files=files, folder=folder, size=SIZE, num_classes=len(CLASSES), work=request.work)
    for subset, (published, names) in SUBSETS.items():
        images = read_bytes(folder / names[0], 3, SIZE, SIZE).transpose(0, 1, 3, 2)  # stored column by column
        labels = np.full(len(images), -1)
        if len(names) == 2:
            labels = read_bytes(folder / names[1]).astype(np.int64) - 1  # from 1, as MATLAB counts
        arrays.add(subset, images, labels, list(names), published)
        del images  # 2.8 GB of unlabelled images are on disk now
    return arrays.listing(CLASSES)


def _files() -> NativeFiles:
    from torchvision.datasets import STL10

    def download(folder: Path, missing: list[str]) -> None:
        from torchvision.datasets.utils import download_and_extract_archive

        download_and_extract_archive(STL10.url, str(folder), filename=STL10.filename, md5=STL10.tgz_md5)

    return NativeFiles(
        name="stl10",
        addresses=[STL10.url],
        md5=dict(STL10.train_list + STL10.test_list),
        download=download,
        folder=STL10.base_folder,
        archive=STL10.filename,
    )
