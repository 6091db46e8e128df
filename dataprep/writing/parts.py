"""Finished stretches of encoded images on disk, from which an interrupted run resumes. Imports no FFCV: workers run it.

A part is image data end to end | sizes, labels, records | JSON of sums and rejects | _END. It gets its name only when
it is complete and on disk. The name is a hash of what the part should hold and the records tell which content it was
made from, so that of a part that exists only images whose files have changed since must be read again.
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

from dataprep.data_folder.whole_files import replacing
from dataprep.images.decoding import Recipe, decode, encode
from dataprep.images.failures import is_system_error, rejection_reason
from dataprep.images.pixel_sums import PixelSums
from dataprep.sources.contents import RECORD, UNREAD, Records, content_digest, records_of
from dataprep.sources.entries import Content, Entry, Reader
from dataprep.workers import report

FORMAT = 3
MAX_IMAGES, MAX_PARTS = 10_000, 256  # images in a part; parts of a set, as long as parts stay below MAX_IMAGES
MIN_IMAGES = {"raw": 1024, "jpg": 64}  # images that outweigh the cost of a file, by encoding
_END = struct.Struct("<QQ8s")  # number of images, bytes of the JSON, magic
_MAGIC = b"CMPART03"
_REPORT_EVERY = 32  # images between two reports of progress


@dataclass(frozen=True)
class Part:
    """A finished part. sizes (bytes), labels: int64 [n]. sums: int64 [2,3] as PixelSums'. rejects: (path, reason).

    records: of all its entries, the rejected ones too. stored: bytes of each as stored, 0 of rejected ones.
    """

    file: Path
    records: Records
    stored: NDArray[np.int64]
    sizes: NDArray[np.int64]
    labels: NDArray[np.int64]
    sums: NDArray[np.int64]
    rejects: list[tuple[str, str]]


@dataclass
class _Contents:
    """What has been written to a part so far. stored: bytes of each entry. digests: of what was read of it."""

    pixels: PixelSums
    stored: list[int] = field(default_factory=list)
    digests: list[bytes] = field(default_factory=list)
    rejects: list[tuple[str, str]] = field(default_factory=list)


def part_length(total: int, encoding: str) -> int:
    """Images in a part of a set of `total`; independent of the number of workers, so that any run finds the parts."""
    return min(max(-(-total // MAX_PARTS), MIN_IMAGES[encoding]), MAX_IMAGES)


def part_key(identity: str, recipe: Recipe, entries: list[Entry]) -> str:
    """Hash of which images a part should hold and how; `identity` covers the software and sources without stamps."""
    digest = blake2b(f"{FORMAT} {identity} {recipe}\n".encode("utf-8", "surrogateescape"), digest_size=12)
    for entry in entries:
        digest.update(f"{entry.path}\t{entry.label}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def encode_part(reader: Reader, recipe: Recipe, entries: list[Entry], file: Path) -> Path:
    """Decode each entry once and write the part; a failure on one image makes it a reject and nothing more.

    Raises OSError when the disk is full or the source as a whole cannot be read; then no part is left behind.
    """
    with replacing(file) as out:
        contents = _Contents(pixels=PixelSums(recipe.size))
        for start in range(0, len(entries), _REPORT_EVERY):
            some = entries[start : start + _REPORT_EVERY]
            for entry in some:
                _add(out, reader, recipe, entry, contents)
            report(len(some))
        _finish(out, entries, contents, contents.pixels.totals())
    return file


def make_part(reader: Reader, recipe: Recipe, entries: list[Entry], file: Path, doubtful: list[int] | None) -> Path:
    """A new part, or a finished one again of which some entries are `doubtful`. Raises as `encode_part`."""
    if doubtful is None:
        return encode_part(reader, recipe, entries, file)
    return mend_part(reader, recipe, entries, file, doubtful)


def mend_part(reader: Reader, recipe: Recipe, entries: list[Entry], file: Path, doubtful: list[int]) -> Path:
    """Read the entries of a finished part whose files may have changed since, and encode again what has changed.

    An image that was rejected is put in its place among the others, which are not read. A part that holds an image of
    which another content has come is encoded as a whole: its sums cannot be corrected. Raises as `encode_part`.
    """
    old = read_part(file)
    changed = None if old is None else _changed(reader, entries, old, doubtful)
    if old is None or changed is None:
        return encode_part(reader, recipe, entries, file)
    if changed:
        _write_mended(recipe, entries, old, changed)
    report(len(doubtful))
    return file


def _write_mended(recipe: Recipe, entries: list[Entry], old: Part, changed: dict[int, "_ReadOnce"]) -> None:
    reasons = dict(old.rejects)
    with replacing(old.file) as out, old.file.open("rb") as data:
        contents = _Contents(pixels=PixelSums(recipe.size))
        for index, entry in enumerate(entries):
            if index in changed:
                _add(out, changed[index], recipe, entry, contents)
                continue
            stored = int(old.stored[index])
            out.write(data.read(stored))
            contents.stored.append(stored)
            contents.digests.append(old.records["digest"][index].tobytes())
            if not stored:
                contents.rejects.append((entry.path, reasons[entry.path]))
        _finish(out, entries, contents, old.sums + contents.pixels.totals())


def _changed(reader: Reader, entries: list[Entry], old: Part, doubtful: list[int]) -> dict[int, "_ReadOnce"] | None:
    """The doubtful entries that are not what they were, as read now; None when the part held one of them."""
    changed: dict[int, _ReadOnce] = {}
    reasons = dict(old.rejects)
    for index in doubtful:
        entry, digest = entries[index], old.records["digest"][index].tobytes()
        now = _ReadOnce(reader, entry)
        failed_alike = now.error is not None and rejection_reason(now.error, entry) == reasons.get(entry.path)
        if failed_alike or (now.error is None and now.digest == digest):
            continue
        if old.stored[index]:
            return None
        changed[index] = now
    return changed


class _ReadOnce:
    """A reader of one entry that has read it already: reading it gives the same again, or raises the same."""

    def __init__(self, reader: Reader, entry: Entry) -> None:
        self.error: Exception | None = None
        self.digest = UNREAD
        self._content: Content = b""
        try:
            self._content = reader.read(entry)
            self.digest = content_digest(self._content)
        except Exception as error:  # what a damaged archive raises, too
            self.error = error

    def read(self, entry: Entry) -> Content:
        if self.error is not None:
            raise self.error
        return self._content


def read_part(file: Path) -> Part | None:
    """The part in `file`; None when there is none, or it is damaged."""
    try:
        with file.open("rb") as handle:
            end = handle.seek(-_END.size, os.SEEK_END)
            count, length, magic = _END.unpack(handle.read())
            data_bytes = handle.seek(end - length - (16 + RECORD.itemsize) * count)
            stored, labels = np.frombuffer(handle.read(16 * count), np.int64).reshape(2, count)
            records = np.frombuffer(handle.read(RECORD.itemsize * count), RECORD)
            facts = json.loads(handle.read(length))
    except (OSError, ValueError):  # a disk can lose what was synced to it
        return None
    if magic != _MAGIC or stored.sum() != data_bytes:
        return None
    held = stored > 0
    return Part(
        file=file,
        records=records,
        stored=stored,
        sizes=stored[held],
        labels=labels[held],
        sums=np.array(facts["sums"], np.int64),
        rejects=[(path, why) for path, why in facts["rejects"]],
    )


def _add(out: IO[bytes], reader: Reader, recipe: Recipe, entry: Entry, contents: _Contents) -> None:
    digest, data = UNREAD, b""
    try:
        content = reader.read(entry)
        digest = content_digest(content)
        image = decode(content, recipe)
        pixels = image.tobytes()
        data = encode(image, pixels, recipe)
    except Exception as error:
        if is_system_error(error):
            raise
        contents.rejects.append((entry.path, rejection_reason(error, entry)))
    else:
        out.write(data)
        contents.pixels.add(pixels)
    contents.stored.append(len(data))
    contents.digests.append(digest)


def _finish(out: IO[bytes], entries: list[Entry], contents: _Contents, sums: NDArray[np.int64]) -> None:
    text = json.dumps({"sums": sums.tolist(), "rejects": contents.rejects}).encode()
    out.write(np.array([contents.stored, [entry.label for entry in entries]], np.int64).tobytes())
    out.write(records_of(entries, contents.digests).tobytes())
    out.write(text + _END.pack(len(entries), len(text), _MAGIC))
