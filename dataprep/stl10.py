"""STL-10 in its binary form, as https://cs.stanford.edu/~acoates/stl10 has it."""

from pathlib import Path

from dataprep.listing import Listing, Request
from dataprep.native_files import ArraySet, Files, read

SIZE = 96
CLASSES = ["airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck"]
PARTS = {  # torchvision's split: published size, files
    "train": (5_000, ("train_X.bin", "train_y.bin")),
    "unlabeled": (100_000, ("unlabeled_X.bin",)),
    "test": (8_000, ("test_X.bin", "test_y.bin")),
}


def list_stl10(request: Request) -> Listing:
    """5,000 labelled and 100,000 unlabelled (label -1) training images, 8,000 test images.

    The ten predefined folds play no part: splits are drawn from all labelled images.
    """
    from torchvision.datasets import STL10  # here: torch takes seconds to import

    files = _files()
    folder = files.find(request)
    parts = ArraySet(files, folder, SIZE, len(CLASSES), request.work)
    changes = {
        "base_folder": "",
        "train_list": [(file, None) for file, _ in STL10.train_list],
        "test_list": [(file, None) for file, _ in STL10.test_list],
    }
    for part, (official, names) in PARTS.items():
        images = read(STL10, folder, changes, split=part)
        parts.add(part, images.data, images.labels, names, official)
        del images  # 2.8 GB of unlabelled images are on disk now
    return parts.listing(CLASSES)


def _files() -> Files:
    from torchvision.datasets import STL10

    def fetch(folder: Path, lacking: list[str]) -> None:
        from torchvision.datasets.utils import download_and_extract_archive

        download_and_extract_archive(STL10.url, str(folder), filename=STL10.filename, md5=STL10.tgz_md5)

    return Files("stl10", dict(STL10.train_list + STL10.test_list), fetch, STL10.base_folder, STL10.filename)
