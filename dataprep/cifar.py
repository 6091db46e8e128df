"""CIFAR-10 and CIFAR-100 in their pickled form, as https://www.cs.toronto.edu/~kriz/cifar.html has them."""

from pathlib import Path
from typing import Any

from dataprep.listing import Listing, Request
from dataprep.native_files import ArraySet, Files, read

SIZE = 32


def list_cifar10(request: Request) -> Listing:
    """50,000 training and 10,000 test images of 10 classes, from cifar-10-batches-py or its tar.gz."""
    from torchvision.datasets import CIFAR10  # here: torch takes seconds to import

    return _list("cifar10", CIFAR10, 10, request)


def list_cifar100(request: Request) -> Listing:
    """50,000 training and 10,000 test images of the 100 fine classes, from cifar-100-python or its tar.gz."""
    from torchvision.datasets import CIFAR100

    return _list("cifar100", CIFAR100, 100, request)


def _list(name: str, kind: Any, num_classes: int, request: Request) -> Listing:
    files = _files(name, kind)
    folder = files.find(request)
    parts = ArraySet(files, folder, SIZE, num_classes, request.work)
    changes = {
        "base_folder": "",
        "train_list": [(file, None) for file, _ in kind.train_list],
        "test_list": [(file, None) for file, _ in kind.test_list],
        "meta": {**kind.meta, "md5": None},
    }
    for part, pickles, official in (("train", kind.train_list, 50_000), ("test", kind.test_list, 10_000)):
        images = read(kind, folder, changes, train=part == "train")
        parts.add(part, images.data, images.targets, [file for file, _ in pickles], official)
    return parts.listing(_class_names(images.classes, num_classes, folder))


def _files(name: str, kind: Any) -> Files:
    md5 = {**dict(kind.train_list), **dict(kind.test_list), kind.meta["filename"]: kind.meta["md5"]}

    def fetch(folder: Path, lacking: list[str]) -> None:
        from torchvision.datasets.utils import download_and_extract_archive

        download_and_extract_archive(kind.url, str(folder), filename=kind.filename, md5=kind.tgz_md5)

    return Files(name, md5, fetch, kind.base_folder, kind.filename)


def _class_names(names: list[str], num_classes: int, folder: Path) -> list[str]:
    if len(names) != num_classes:
        raise ValueError(f"{folder}: names {len(names)} classes, not {num_classes}; fetch it again")
    return [str(name) for name in names]
