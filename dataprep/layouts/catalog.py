"""The data sets make_beton.py knows: one line each, with the reader of their native layout."""

from collections.abc import Callable
from dataclasses import dataclass

from dataprep.layouts import where_from
from dataprep.layouts.cifar import list_cifar10, list_cifar100
from dataprep.layouts.digits import list_digits
from dataprep.layouts.fashion_mnist import list_fashion_mnist
from dataprep.layouts.imagenet import list_imagenet
from dataprep.layouts.listing import Listing, ListingRequest
from dataprep.layouts.own_images import list_own_images
from dataprep.layouts.stl10 import list_stl10
from dataprep.layouts.svhn import list_svhn
from dataprep.layouts.tiny_imagenet import list_tiny_imagenet
from dataprep.layouts.webvision import list_webvision


@dataclass(frozen=True)
class DataSet:
    """How to list a set, and its defaults.

    labels_per_class: label counts for which splits are drawn by default, as far as classes are large enough.
    flip: whether images may be mirrored. needs_source: it is read from files in --source (default DATA/raw/NAME).
    download: missing files can be downloaded. long_tails: ratios for which long-tailed splits are drawn by default, as
    far as classes are large enough. where_from: lines that tell how to get them otherwise.
    """

    list: Callable[[ListingRequest], Listing]
    labels_per_class: tuple[int, ...]
    flip: bool
    needs_source: bool = True
    download: bool = False
    long_tails: tuple[float, ...] = ()
    where_from: str = ""


# Label counts are those of the paper's tables, where it does not have a set those of the CIFAR nearest to it. SVHN is
# mirrored as in USB and TorchSSL, Fashion-MNIST as in its authors' benchmark and in Random Erasing (Zhong et al. 2020).
DATASETS: dict[str, DataSet] = {
    "digits": DataSet(list_digits, labels_per_class=(1, 4, 25), flip=False, needs_source=False),
    "cifar10": DataSet(list_cifar10, labels_per_class=(4, 25, 400), flip=True, download=True, long_tails=(10, 100)),
    "cifar100": DataSet(list_cifar100, labels_per_class=(4, 25, 100), flip=True, download=True, long_tails=(10, 100)),
    "svhn": DataSet(list_svhn, labels_per_class=(4, 100), flip=True, download=True),
    "stl10": DataSet(list_stl10, labels_per_class=(4, 100), flip=True, download=True),
    "fashion_mnist": DataSet(list_fashion_mnist, labels_per_class=(4, 25, 400), flip=True, download=True),
    "tiny_imagenet": DataSet(list_tiny_imagenet, labels_per_class=(4, 25, 100), flip=True, download=True),
    "imagenet": DataSet(list_imagenet, labels_per_class=(), flip=True, where_from=where_from.IMAGENET),
    "webvision": DataSet(list_webvision, labels_per_class=(), flip=True, where_from=where_from.WEBVISION),
    "folder": DataSet(list_own_images, labels_per_class=(4, 25, 100, 400), flip=True),
}
