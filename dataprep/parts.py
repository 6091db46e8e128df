"""Finished stretches of encoded images on disk: an interrupted run goes on from them.

A part is image data end to end | sizes | labels | JSON of sums and rejects | _END. It gets its name only when it
is complete and on disk, and that name is a hash of all that shaped it, so whatever lies there may be used.
"""

import json
import os
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from dataprep.images import Recipe, Tally, encode, is_machines_fault, read, reason
from dataprep.sources import Entry, Reader
from dataprep.workers import report

FORMAT = 1
MOST, WANTED = 10_000, 256  # images in a part; parts in a set large enough
FEWEST = {"raw": 1024, "jpg": 64}  # images that outweigh the cost of a file
_END = struct.Struct("<QQ8s")  # images, bytes of the JSON, magic
_MAGIC = b"CMPART01"
_REPORT = 32  # images between two reports of progress
_BLOCK = 8 << 20


@dataclass(frozen=True)
class Part:
    """A finished part. sizes, labels: int64 [n]. sums: int64 [2,3] as Tally's. rejects: (path, reason).

    again: some image could not be read for a cause that may have passed (missing, forbidden, I/O error).
    """

    file: Path
    sizes: NDArray[np.int64]
    labels: NDArray[np.int64]
    sums: NDArray[np.int64]
    rejects: list[tuple[str, str]]
    again: bool


@dataclass
class _Account:
    sizes: list[int] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    rejects: list[tuple[str, str]] = field(default_factory=list)
    again: bool = False


def part_length(total: int, encoding: str) -> int:
    """Images in a part of a set of `total`: whatever the number of workers, so that others find the same parts."""
    return min(max(-(-total // WANTED), FEWEST[encoding]), MOST)


def part_key(identity: str, recipe: Recipe, entries: list[Entry]) -> str:
    """Hash of everything that shapes a part; `identity` names the source and the software."""
    digest = blake2b(f"{FORMAT} {identity} {recipe}\n".encode("utf-8", "surrogateescape"), digest_size=12)
    for entry in entries:
        digest.update(("\t".join(map(str, entry)) + "\n").encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def encode_part(reader: Reader, recipe: Recipe, entries: list[Entry], file: Path) -> Path:
    """Decode each entry once and write the part; whatever fails on one image makes it a reject, not an end.

    Raises OSError when the disk is full or the source as a whole can't be read; then no part is left.
    """
    temporary = file.with_name(f"{file.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb", buffering=1 << 20) as out:
            _write(out, reader, recipe, entries)
            out.flush()
            os.fsync(out.fileno())
        return temporary.rename(file)
    finally:
        temporary.unlink(missing_ok=True)


def _write(out: IO[bytes], reader: Reader, recipe: Recipe, entries: list[Entry]) -> None:
    account, tally = _Account(), Tally(recipe.size)
    for start in range(0, len(entries), _REPORT):
        some = entries[start : start + _REPORT]
        for entry in some:
            _store(out, reader, recipe, entry, account, tally)
        report(len(some))
    facts = {"sums": tally.sums().tolist(), "rejects": account.rejects, "again": account.again}
    text = json.dumps(facts).encode()
    out.write(np.array([account.sizes, account.labels], np.int64).tobytes())
    out.write(text + _END.pack(len(account.sizes), len(text), _MAGIC))


def _store(out: IO[bytes], reader: Reader, recipe: Recipe, entry: Entry, account: _Account, tally: Tally) -> None:
    try:
        image = read(reader, entry, recipe)
    except Exception as error:
        if is_machines_fault(error):
            raise
        account.rejects.append((entry.path, reason(error, entry)))
        account.again |= isinstance(error, OSError) and error.errno is not None
        return
    pixels = image.tobytes()
    data = encode(image, pixels, recipe)
    out.write(data)
    account.sizes.append(len(data))
    account.labels.append(entry.label)
    tally.add(pixels)


def read_part(file: Path) -> Part | None:
    """The part in `file`; None when there is none, or none that may be used."""
    try:
        with file.open("rb") as handle:
            end = handle.seek(-_END.size, os.SEEK_END)
            count, length, magic = _END.unpack(handle.read())
            data_bytes = handle.seek(end - length - 16 * count)
            sizes, labels = np.frombuffer(handle.read(16 * count), np.int64).reshape(2, count)
            facts = json.loads(handle.read(length))
    except (OSError, ValueError):  # a disk lost what was synced to it
        return None
    rejects = [(path, why) for path, why in facts["rejects"]]
    part = Part(file, sizes, labels, np.array(facts["sums"], np.int64), rejects, facts["again"])
    return part if magic == _MAGIC and sizes.sum() == data_bytes else None


class PartStream:
    """The image data of several parts, read as one stream."""

    def __init__(self, parts: Iterable[Part]) -> None:
        self._blocks = self._read(parts)
        self._rest = memoryview(b"")

    def read(self, count: int) -> Iterator[memoryview]:
        """Yield pieces that are `count` bytes together. Raises OSError when a part is shorter than it says."""
        while count:
            self._rest = self._rest or next(self._blocks)
            piece, self._rest = self._rest[:count], self._rest[count:]
            count -= len(piece)
            yield piece

    def _read(self, parts: Iterable[Part]) -> Iterator[memoryview]:
        for part in parts:
            left = int(part.sizes.sum())
            with part.file.open("rb") as handle:
                while left:
                    block = handle.read(min(left, _BLOCK))
                    if not block:
                        raise OSError(f"{part.file} was cut short while it was read")
                    left -= len(block)
                    yield memoryview(block)
