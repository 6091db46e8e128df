"""scikit-learn's 1,797 handwritten digits: a real data set that needs no download."""

import numpy as np

from dataprep.layouts.hold_out import hold_out
from dataprep.layouts.listing import Listing, ListingRequest
from dataprep.sources.entries import Entry
from dataprep.sources.readers import ArrayReader

TEST_IMAGES = 500
SIZE = 32  # stored side; the originals are 8x8


def list_digits(request: ListingRequest) -> Listing:
    """1,297 training and 500 test images, stratified; pixel values 0..16 are scaled to 0..255."""
    from sklearn.datasets import load_digits  # slow to import, and no other set needs it

    bunch = load_digits()
    pixels = np.rint(bunch.images * (255 / 16)).astype(np.uint8)
    file = request.work / "digits.npy"
    np.save(file, pixels)
    entries = [
        Entry(path=f"{i:04d}", label=int(label), size=pixels[i].nbytes, offset=i)
        for i, label in enumerate(bunch.target)
    ]
    train, test, _ = hold_out(entries, TEST_IMAGES)
    return Listing(
        classes=[str(digit) for digit in range(10)],
        train=train,
        test=test,
        reader=ArrayReader(str(file)),
        has_test_split=True,
        native_size=SIZE,
    )
