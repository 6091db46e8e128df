"""scikit-learn's 1,797 handwritten digits: a real data set that needs no download."""

import numpy as np

from dataprep.listing import Listing, Request, hold_out
from dataprep.sources import ArrayReader, Entry

TEST_IMAGES = 500
SIZE = 32  # stored side; the originals are 8x8


def list_digits(request: Request) -> Listing:
    """1,297 training and 500 test images, stratified; pixel values 0..16 are scaled to 0..255."""
    from sklearn.datasets import load_digits  # imported here: the other sets need not wait for it

    bunch = load_digits()
    pixels = np.rint(bunch.images * (255 / 16)).astype(np.uint8)
    file = request.work / "digits.npy"
    np.save(file, pixels)
    entries = [Entry(f"{i:04d}", int(label), pixels[i].nbytes, i) for i, label in enumerate(bunch.target)]
    train, test, _ = hold_out(entries, TEST_IMAGES)
    return Listing([str(c) for c in range(10)], train, test, ArrayReader(str(file)), True, native_size=SIZE)
