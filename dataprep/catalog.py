"""The data sets make_beton.py knows, one line each."""

from collections.abc import Callable
from dataclasses import dataclass

from dataprep.cifar import list_cifar10, list_cifar100
from dataprep.digits import list_digits
from dataprep.folder import list_folder
from dataprep.imagenet import list_imagenet
from dataprep.listing import Listing, Request
from dataprep.stl10 import list_stl10
from dataprep.svhn import list_svhn
from dataprep.webvision import list_webvision


@dataclass(frozen=True)
class DataSet:
    """How to list a set, and its defaults.

    labels_per_class: splits drawn without options, those that fit. flip: may images be mirrored.
    needs_source: it reads files from --source (default DATA/raw/NAME). download: it can fetch them itself.
    """

    list: Callable[[Request], Listing]
    labels_per_class: tuple[int, ...]
    flip: bool
    needs_source: bool = True
    download: bool = False


# Label counts are those of the paper's tables; SVHN is mirrored as USB and TorchSSL do.
DATASETS: dict[str, DataSet] = {
    "digits": DataSet(list_digits, labels_per_class=(4, 25), flip=False, needs_source=False),
    "cifar10": DataSet(list_cifar10, labels_per_class=(4, 25, 400), flip=True, download=True),
    "cifar100": DataSet(list_cifar100, labels_per_class=(4, 25, 100), flip=True, download=True),
    "svhn": DataSet(list_svhn, labels_per_class=(4, 100), flip=True, download=True),
    "stl10": DataSet(list_stl10, labels_per_class=(4, 100), flip=True, download=True),
    "imagenet": DataSet(list_imagenet, labels_per_class=(), flip=True),
    "webvision": DataSet(list_webvision, labels_per_class=(), flip=True),
    "folder": DataSet(list_folder, labels_per_class=(4, 25, 100, 400), flip=True),
}
