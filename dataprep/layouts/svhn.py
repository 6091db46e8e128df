"""Street View House Numbers, format 2 (cropped digits), as http://ufldl.stanford.edu/housenumbers distributes it."""

from pathlib import Path

from dataprep.layouts.array_files import read_mat
from dataprep.layouts.array_set import ArraySet
from dataprep.layouts.listing import Listing, ListingRequest
from dataprep.layouts.native_files import NativeFiles

SIZE = 32
PUBLISHED = {"train": 73_257, "extra": 531_131, "test": 26_032}


def list_svhn(request: ListingRequest) -> Listing:
    """Training (train and, unless the request says otherwise, extra) and test digits from *_32x32.mat.

    Class numbers equal digits: label 10 in the files means 0.
    """
    from torchvision.datasets import SVHN  # torch takes seconds to import

    wanted = [subset for subset in PUBLISHED if request.extra or subset != "extra"]
    files = _files(wanted)
    folder = files.find(request)
    arrays = ArraySet(files=files, folder=folder, size=SIZE, num_classes=10, work=request.work)
    for subset in wanted:
        name = SVHN.split_list[subset][1]
        images, labels = read_mat(folder / name)
        arrays.add(subset, images, labels, [name], PUBLISHED[subset])
        del images  # 1.6 GB of extra images are on disk now
    if not request.extra:
        arrays.notes.append("without the extra images (--no-extra); the usual benchmark trains on train and extra")
    return arrays.listing([str(digit) for digit in range(10)])


def _files(wanted: list[str]) -> NativeFiles:
    from torchvision.datasets import SVHN

    def download(folder: Path, missing: list[str]) -> None:
        from torchvision.datasets.utils import download_url

        for url, file, md5 in SVHN.split_list.values():
            if file in missing:
                download_url(url, folder, file, md5)

    md5 = {SVHN.split_list[subset][1]: SVHN.split_list[subset][2] for subset in wanted}
    hint = "; --no-extra leaves the extra images out (1.3 GB)" if "extra" in wanted else ""
    addresses = [SVHN.split_list[subset][0] for subset in wanted]
    return NativeFiles(name="svhn", addresses=addresses, md5=md5, download=download, hint=hint)
