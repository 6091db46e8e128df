"""A set that comes as arrays: checked against what is published, and turned into a listing over files on disk."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dataprep.layouts.listing import Listing
from dataprep.layouts.native_files import NativeFiles
from dataprep.layouts.published import compare_count
from dataprep.sources.entries import Entry
from dataprep.sources.readers import ArrayReader, ReaderSet

BLOCK = 4096  # images copied at a time
TEST = "test"


@dataclass
class ArraySet:
    """Collects the subsets of a set as .npy files in `work`, the folder for temporaries, which workers memory-map.

    folder: where the native files lie. size: side of the images in pixels.
    """

    files: NativeFiles
    folder: Path
    size: int
    num_classes: int
    work: Path
    readers: list[ArrayReader] = field(default_factory=list)
    train: list[Entry] = field(default_factory=list)
    test: list[Entry] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(
        self, subset: str, images: NDArray[np.uint8], labels: Iterable[int], names: list[str], published: int
    ) -> None:
        """Add a subset: images [N,H,W,3], [N,3,H,W] or, if they are grey, [N,H,W]; labels [N]; read from files `names`.

        A label is the number of a class, or -1 for none, except among test images.

        The subset 'test' becomes the test split, all others are for training. published: its published size.
        Raises ValueError for a damaged file: one with a wrong checksum in a subset of full size.
        """
        self._check(subset, images, names, published)
        numbers = [int(label) for label in labels]
        fewest = 0 if subset == TEST else -1  # an image without a label cannot test
        odd = [n for n in numbers if not fewest <= n < self.num_classes]
        if len(numbers) != len(images) or odd:
            what = f"label {odd[0]}" if odd else f"{len(numbers)} labels"
            raise ValueError(
                f"{self.folder}: {what} among the {len(images)} {subset} images of {self.num_classes} classes "
                f"({', '.join(names)}); download it again"
            )
        self._write(subset, images)
        reader, bytes_each = len(self.readers) - 1, self.size**2 * (1 if images.ndim == 3 else 3)
        (self.test if subset == TEST else self.train).extend(
            Entry(path=f"{subset}/{i:06d}", label=n, size=bytes_each, offset=i, reader=reader)
            for i, n in enumerate(numbers)
        )

    def listing(self, classes: list[str]) -> Listing:
        """The set, once every subset has been added."""
        return Listing(
            classes=classes,
            train=self.train,
            test=self.test,
            reader=ReaderSet(tuple(self.readers)),
            has_test_split=True,
            native_size=self.size,
            notes=self.notes,
        )

    def _check(self, subset: str, images: NDArray[np.uint8], names: Iterable[str], published: int) -> None:
        from torchvision.datasets.utils import check_md5  # torch takes seconds to import

        changed = [name for name in names if not check_md5(self.folder / name, self.files.checksum(name))]
        if changed and len(images) == published:
            raise ValueError(
                f"{self.folder}: {', '.join(changed)} has as many images as the official file but another checksum; "
                "it is damaged: download it again"
            )
        if changed:
            self.notes.append(f"{subset}: not the official files, checksums differ ({', '.join(changed)})")
        self.notes += compare_count(f"{self.files.name} {subset} images", len(images), published)

    def _write(self, subset: str, images: NDArray[np.uint8]) -> None:
        file, grey = self.work / f"{subset}.npy", images.ndim == 3
        shape = (len(images), self.size, self.size) if grey else (len(images), self.size, self.size, 3)
        channels_first = not grey and images.shape[-1] != 3
        with file.open("wb") as out:  # not through a memory map, where a full disk is a fatal signal
            np.lib.format.write_array_header_1_0(out, {"descr": "|u1", "fortran_order": False, "shape": shape})
            for start in range(0, len(images), BLOCK):
                block = images[start : start + BLOCK]
                out.write((block.transpose(0, 2, 3, 1) if channels_first else block).tobytes())
        self.readers.append(ArrayReader(str(file)))
