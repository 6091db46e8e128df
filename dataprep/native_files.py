"""The small sets as their authors distribute them: found, fetched, checked, and turned into arrays on disk.

torchvision's classes read the files. Their checksums are looked at here, so that a subset in the official
format is taken too, with a note, while a damaged official file is not.
"""

import gzip
import lzma
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataprep.listing import Listing, Request, compare_count
from dataprep.sources import ArrayReader, Entry, ReaderSet

BLOCK = 4096  # images copied at a time
DAMAGED = (tarfile.TarError, EOFError, gzip.BadGzipFile, lzma.LZMAError, zlib.error)


@dataclass(frozen=True)
class Files:
    """What a set consists of: md5 of each file; the folder and archive they come in, '' if they come singly.

    fetch: downloads, unpacked into an empty folder, at least the files that are named to it.
    """

    name: str
    md5: dict[str, str]
    fetch: Callable[[Path, list[str]], None]
    folder: str = ""
    archive: str = ""

    def find(self, request: Request) -> Path:
        """The folder that holds all files: as they lie, unpacked from their archive, or downloaded.

        Raises ValueError with the names of the files that are missing and where they belong.
        """
        source = request.source
        assert source is not None
        for folder in (source / self.folder, source):
            if all((folder / name).is_file() for name in self.md5):
                return folder
        archive = source if source.is_file() else source / self.archive
        if archive.is_file():
            return self._unpack(archive, request.work / "files")
        if request.download:
            return self._download(source)
        raise ValueError(f"--source {source}: {self._remedy(source)}")

    def _lacking(self, source: Path) -> list[str]:
        there = source / self.folder if (source / self.folder).is_dir() else source
        return [name for name in self.md5 if not (there / name).is_file()]

    def _remedy(self, source: Path) -> str:
        archive = f", or {self.archive} into {source}" if self.archive else ""
        return f"{', '.join(self._lacking(source))} missing; put them into {source / self.folder}{archive}"

    def _unpack(self, archive: Path, folder: Path) -> Path:
        """Copies the files of the set out of an archive, whatever folders it wraps them in."""
        folder.mkdir(exist_ok=True)
        try:
            with tarfile.open(archive, "r|*") as tar:
                for member in tar:
                    name = PurePosixPath(member.name).name
                    data = tar.extractfile(member) if name in self.md5 and member.isreg() else None
                    if data is not None:
                        with (folder / name).open("wb") as out:
                            shutil.copyfileobj(data, out, 1 << 20)
        except DAMAGED as error:
            raise ValueError(f"{archive}: not a complete archive ({error}); fetch it again") from error
        lacking = [name for name in self.md5 if not (folder / name).is_file()]
        if lacking:
            raise ValueError(f"{archive}: lacks {', '.join(lacking)}; it is not {self.name} as distributed")
        return folder

    def _download(self, source: Path) -> Path:
        """Fetches into a temporary folder beside the final place, so that a broken download leaves nothing."""
        lacking, remedy = self._lacking(source), self._remedy(source)
        source.mkdir(parents=True, exist_ok=True)
        try:
            with tempfile.TemporaryDirectory(dir=source, prefix=".download-") as temporary:
                self.fetch(Path(temporary), lacking)
                for item in sorted(Path(temporary).rglob("*")):
                    if item.name in lacking:
                        (source / self.folder).mkdir(exist_ok=True)
                        item.replace(source / self.folder / item.name)
        except (OSError, HTTPException, RuntimeError) as error:  # RuntimeError: torchvision on a wrong checksum
            reason = " ".join(str(error).split())
            raise ValueError(f"{self.name} can't be downloaded ({reason}): {remedy}") from error
        return source / self.folder


def read(kind: type, folder: Path, changes: dict[str, Any], **options: Any) -> Any:
    """torchvision's dataset `kind` over `folder`, with some class attributes changed: file lists without md5.

    Raises ValueError when the files can't be read.
    """
    unchecked = type(kind.__name__, (kind,), changes)
    try:
        return unchecked(folder, **options)
    except Exception as error:  # unpickling a damaged file can raise nearly anything
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"{folder}: can't be read as {kind.__name__} ({reason}); fetch the files again") from error


@dataclass
class ArraySet:
    """Gathers the parts of a set as arrays in the folder of temporaries, from where workers map them."""

    files: Files
    folder: Path
    size: int
    num_classes: int
    work: Path
    readers: list[ArrayReader] = field(default_factory=list)
    train: list[Entry] = field(default_factory=list)
    test: list[Entry] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(
        self, part: str, images: NDArray[np.uint8], labels: Iterable[int], names: Iterable[str], official: int
    ) -> None:
        """Add a part: images [N,H,W,3] or [N,3,H,W], labels [N] of -1 or a class number, read from `names`.

        The part 'test' becomes the test split, all others are for training. official: its published size.
        Raises ValueError for a damaged file: one of wrong checksum in a part of full size.
        """
        self._check(part, images, names, official)
        numbers = [int(label) for label in labels]
        if len(numbers) != len(images) or not all(-1 <= n < self.num_classes for n in numbers):
            raise ValueError(f"{self.folder}: labels of {part} don't fit its {len(images)} images; fetch it again")
        self._write(part, images)
        source, bytes_each = len(self.readers) - 1, 3 * self.size**2
        entries = [Entry(f"{part}/{i:06d}", n, bytes_each, i, source) for i, n in enumerate(numbers)]
        (self.test if part == "test" else self.train).extend(entries)

    def listing(self, classes: list[str]) -> Listing:
        """The set with all parts added."""
        reader = ReaderSet(tuple(self.readers))
        return Listing(classes, self.train, self.test, reader, True, native_size=self.size, notes=self.notes)

    def _check(self, part: str, images: NDArray[np.uint8], names: Iterable[str], official: int) -> None:
        from torchvision.datasets.utils import check_md5

        others = [name for name in names if not check_md5(self.folder / name, self.files.md5[name])]
        if others and len(images) == official:
            raise ValueError(
                f"{self.folder}: {', '.join(others)} has as many images as the official file but another checksum; "
                "it is damaged, fetch it again"
            )
        if others:
            self.notes.append(f"{part}: not the official files, checksums differ ({', '.join(others)})")
        self.notes += compare_count(f"{self.files.name} {part} images", len(images), official)

    def _write(self, part: str, images: NDArray[np.uint8]) -> None:
        file, shape = self.work / f"{part}.npy", (len(images), self.size, self.size, 3)
        channels_first = images.shape[-1] != 3
        with file.open("wb") as out:  # not by memory map, where a full disk is a deadly signal
            np.lib.format.write_array_header_1_0(out, {"descr": "|u1", "fortran_order": False, "shape": shape})
            for start in range(0, len(images), BLOCK):
                block = images[start : start + BLOCK]
                out.write((block.transpose(0, 2, 3, 1) if channels_first else block).tobytes())
        self.readers.append(ArrayReader(str(file)))
