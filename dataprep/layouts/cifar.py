"""CIFAR-10 and CIFAR-100 in their pickled form, as https://www.cs.toronto.edu/~kriz/cifar.html distributes them."""

from pathlib import Path
from typing import Any

import numpy as np

from dataprep.layouts.array_files import read_batch, read_pickle
from dataprep.layouts.array_set import ArraySet
from dataprep.layouts.listing import Listing, ListingRequest
from dataprep.layouts.native_files import NativeFiles

SIZE = 32
PUBLISHED = {"train": 50_000, "test": 10_000}


def list_cifar10(request: ListingRequest) -> Listing:
    """50,000 training and 10,000 test images of 10 classes, from cifar-10-batches-py or its tar.gz."""
    from torchvision.datasets import CIFAR10  # torch takes seconds to import

    return _list("cifar10", CIFAR10, 10, request)


def list_cifar100(request: ListingRequest) -> Listing:
    """50,000 training and 10,000 test images of the 100 fine classes, from cifar-100-python or its tar.gz."""
    from torchvision.datasets import CIFAR100

    return _list("cifar100", CIFAR100, 100, request)


def _list(name: str, dataset: Any, num_classes: int, request: ListingRequest) -> Listing:
    files = _files(name, dataset)
    folder = files.find(request)
    arrays = ArraySet(files=files, folder=folder, size=SIZE, num_classes=num_classes, work=request.work)
    labels_key = dataset.meta["key"].replace("label_names", "labels")
    for subset, pickles in (("train", dataset.train_list), ("test", dataset.test_list)):
        names = [file for file, _ in pickles]
        batches = [read_batch(folder / file, labels_key, SIZE) for file in names]
        images = np.concatenate([pixels for pixels, _ in batches])
        arrays.add(subset, images, np.concatenate([labels for _, labels in batches]), names, PUBLISHED[subset])
    return arrays.listing(_class_names(folder / dataset.meta["filename"], dataset.meta["key"], num_classes))


def _files(name: str, dataset: Any) -> NativeFiles:
    md5 = {**dict(dataset.train_list), **dict(dataset.test_list), dataset.meta["filename"]: dataset.meta["md5"]}

    def download(folder: Path, missing: list[str]) -> None:
        from torchvision.datasets.utils import download_and_extract_archive

        download_and_extract_archive(dataset.url, str(folder), filename=dataset.filename, md5=dataset.tgz_md5)

    return NativeFiles(
        name=name,
        addresses=[dataset.url],
        md5=md5,
        download=download,
        folder=dataset.base_folder,
        archive=dataset.filename,
    )


def _class_names(meta: Path, key: str, num_classes: int) -> list[str]:
    names = read_pickle(meta).get(key)
    if not isinstance(names, list) or len(names) != num_classes:
        raise ValueError(f"{meta}: does not name {num_classes} classes; download it again")
    return [name if isinstance(name, str) else name.decode("latin1") for name in names]
