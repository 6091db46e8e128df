"""CIFAR-10 and CIFAR-100 in their pickled form, as https://www.cs.toronto.edu/~kriz/cifar.html distributes them."""

from pathlib import Path
from typing import Any

from dataprep.layouts.array_set import ArraySet
from dataprep.layouts.listing import Listing, ListingRequest
from dataprep.layouts.native_files import NativeFiles, read_unchecked

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
    changes = {
        "base_folder": "",
        "train_list": [(file, None) for file, _ in dataset.train_list],
        "test_list": [(file, None) for file, _ in dataset.test_list],
        "meta": {**dataset.meta, "md5": None},
    }
    for subset, pickles in (("train", dataset.train_list), ("test", dataset.test_list)):
        images = read_unchecked(dataset, folder, changes, train=subset == "train")
        arrays.add(subset, images.data, images.targets, [file for file, _ in pickles], PUBLISHED[subset])
    return arrays.listing(_class_names(images.classes, num_classes, folder))


def _files(name: str, dataset: Any) -> NativeFiles:
    md5 = {**dict(dataset.train_list), **dict(dataset.test_list), dataset.meta["filename"]: dataset.meta["md5"]}

    def download(folder: Path, missing: list[str]) -> None:
        from torchvision.datasets.utils import download_and_extract_archive

        download_and_extract_archive(dataset.url, str(folder), filename=dataset.filename, md5=dataset.tgz_md5)

    return NativeFiles(name=name, md5=md5, download=download, folder=dataset.base_folder, archive=dataset.filename)


def _class_names(names: list[str], num_classes: int, folder: Path) -> list[str]:
    if len(names) != num_classes:
        raise ValueError(f"{folder}: names {len(names)} classes, not {num_classes}; download it again")
    return [str(name) for name in names]
