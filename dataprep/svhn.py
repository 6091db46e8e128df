"""Street View House Numbers, format 2 (cropped digits), as http://ufldl.stanford.edu/housenumbers has it."""

from pathlib import Path

import numpy as np

from dataprep.listing import Listing, Request
from dataprep.native_files import ArraySet, Files, read

SIZE = 32
OFFICIAL = {"train": 73_257, "extra": 531_131, "test": 26_032}


def list_svhn(request: Request) -> Listing:
    """Training (train and, unless the request says otherwise, extra) and test digits from *_32x32.mat.

    Class number = digit: the files' label 10 stands for 0.
    """
    from torchvision.datasets import SVHN  # here: torch takes seconds to import

    wanted = [part for part in OFFICIAL if request.extra or part != "extra"]
    files = _files(wanted)
    folder = files.find(request)
    parts = ArraySet(files, folder, SIZE, 10, request.work)
    changes = {"split_list": {part: (url, file, None) for part, (url, file, _) in SVHN.split_list.items()}}
    for part in wanted:
        digits = read(SVHN, folder, changes, split=part)
        parts.add(part, digits.data, np.atleast_1d(digits.labels), [SVHN.split_list[part][1]], OFFICIAL[part])
        del digits  # 1.6 GB of extra images are on disk now
    if not request.extra:
        parts.notes.append("without the extra images (--no-extra); the usual benchmark trains on train and extra")
    return parts.listing([str(digit) for digit in range(10)])


def _files(wanted: list[str]) -> Files:
    from torchvision.datasets import SVHN

    def fetch(folder: Path, lacking: list[str]) -> None:
        from torchvision.datasets.utils import download_url

        for url, file, md5 in SVHN.split_list.values():
            if file in lacking:
                download_url(url, folder, file, md5)

    return Files("svhn", {SVHN.split_list[part][1]: SVHN.split_list[part][2] for part in wanted}, fetch)
