"""Finished stretches of encoded images on disk, from which an interrupted run resumes. Imports no FFCV: workers run it.

A part is image data end to end | sizes | labels | JSON of sums and rejects | _END. It gets its name only when it
is complete and on disk, and that name is a hash of everything that shaped it, so a part that exists may be used.
"""

import json
import os
import struct
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from dataprep.images.decoding import Recipe, decode, encode
from dataprep.images.failures import is_retryable, is_system_error, rejection_reason
from dataprep.images.pixel_sums import PixelSums
from dataprep.sources.entries import Entry, Reader
from dataprep.workers import report

FORMAT = 2
MAX_IMAGES, MAX_PARTS = 10_000, 256  # images in a part; parts of a set, as long as parts stay below MAX_IMAGES
MIN_IMAGES = {"raw": 1024, "jpg": 64}  # images that outweigh the cost of a file, by encoding
_END = struct.Struct("<QQ8s")  # number of images, bytes of the JSON, magic
_MAGIC = b"CMPART02"
_REPORT_EVERY = 32  # images between two reports of progress


@dataclass(frozen=True)
class Part:
    """A finished part. sizes (bytes), labels: int64 [n]. sums: int64 [2,3] as PixelSums'. rejects: (path, reason).

    retry: an image could not be read for a cause that may have passed (missing, forbidden, I/O error).
    """

    file: Path
    sizes: NDArray[np.int64]
    labels: NDArray[np.int64]
    sums: NDArray[np.int64]
    rejects: list[tuple[str, str]]
    retry: bool


@dataclass
class _Contents:
    """What has been written to a part so far."""

    pixels: PixelSums
    sizes: list[int] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    rejects: list[tuple[str, str]] = field(default_factory=list)
    retry: bool = False


def part_length(total: int, encoding: str) -> int:
    """Images in a part of a set of `total`; independent of the number of workers, so that any run finds the parts."""
    return min(max(-(-total // MAX_PARTS), MIN_IMAGES[encoding]), MAX_IMAGES)


def part_key(identity: str, recipe: Recipe, entries: list[Entry]) -> str:
    """Hash of everything that shapes a part; `identity` covers the source and the software."""
    digest = blake2b(f"{FORMAT} {identity} {recipe}\n".encode("utf-8", "surrogateescape"), digest_size=12)
    for entry in entries:
        digest.update(("\t".join(map(str, entry)) + "\n").encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def encode_part(reader: Reader, recipe: Recipe, entries: list[Entry], file: Path) -> Path:
    """Decode each entry once and write the part; a failure on one image makes it a reject and nothing more.

    Raises OSError when the disk is full or the source as a whole cannot be read; then no part is left behind.
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


def read_part(file: Path) -> Part | None:
    """The part in `file`; None when there is none, or it is damaged."""
    try:
        with file.open("rb") as handle:
            end = handle.seek(-_END.size, os.SEEK_END)
            count, length, magic = _END.unpack(handle.read())
            data_bytes = handle.seek(end - length - 16 * count)
            sizes, labels = np.frombuffer(handle.read(16 * count), np.int64).reshape(2, count)
            facts = json.loads(handle.read(length))
    except (OSError, ValueError):  # a disk can lose what was synced to it
        return None
    if magic != _MAGIC or sizes.sum() != data_bytes:
        return None
    return Part(
        file=file,
        sizes=sizes,
        labels=labels,
        sums=np.array(facts["sums"], np.int64),
        rejects=[(path, why) for path, why in facts["rejects"]],
        retry=facts["retry"],
    )


def _write(out: IO[bytes], reader: Reader, recipe: Recipe, entries: list[Entry]) -> None:
    contents = _Contents(pixels=PixelSums(recipe.size))
    for start in range(0, len(entries), _REPORT_EVERY):
        some = entries[start : start + _REPORT_EVERY]
        for entry in some:
            _add(out, reader, recipe, entry, contents)
        report(len(some))
    facts = {"sums": contents.pixels.totals().tolist(), "rejects": contents.rejects, "retry": contents.retry}
    text = json.dumps(facts).encode()
    out.write(np.array([contents.sizes, contents.labels], np.int64).tobytes())
    out.write(text + _END.pack(len(contents.sizes), len(text), _MAGIC))


def _add(out: IO[bytes], reader: Reader, recipe: Recipe, entry: Entry, contents: _Contents) -> None:
    try:
        image = decode(reader.read(entry), recipe)
    except Exception as error:
        if is_system_error(error):
            raise
        contents.rejects.append((entry.path, rejection_reason(error, entry)))
        contents.retry |= is_retryable(error)
        return
    pixels = image.tobytes()
    data = encode(image, pixels, recipe)
    out.write(data)
    contents.sizes.append(len(data))
    contents.labels.append(entry.label)
    contents.pixels.add(pixels)
