"""Writes FFCV's file format, version 2, from front to end.

FFCV's own DatasetWriter fixes the number of samples before it decodes the first, and waits forever when a worker
dies or an image is damaged. Here every image is encoded already, so all positions are known before the first
byte, and the file is written and hashed in one pass. The layout is

    header | field descriptions | metadata of each sample | pages of image data | allocation table

Field descriptions come from FFCV's own classes, so its Reader and Loader are bound to agree with us.
"""

import hashlib
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import IO, Any

import numpy as np
from ffcv.fields import IntField, RGBImageField
from ffcv.fields.base import Field
from ffcv.fields.rgb_image import IMAGE_MODES
from ffcv.reader import Reader
from ffcv.types import (
    ALLOC_TABLE_TYPE,
    CURRENT_VERSION,
    TYPE_ID_HANDLER,
    FieldDescType,
    HeaderType,
    get_metadata_type,
)
from numpy.typing import NDArray

from dataprep.data_folder.manifest import FileRecord
from dataprep.data_folder.split_draws import Positions

PAGE_SIZE = 8 << 20


def page_size_for(largest: int) -> int:
    """Bytes of a page, a power of two: 8 MiB, or more when one sample needs it (a sample never spans two pages)."""
    return max(PAGE_SIZE, 1 << (largest - 1).bit_length())


@dataclass(frozen=True)
class Samples:
    """The samples of a beton of square images. sizes: bytes of each, int64 [N].

    numbers: int64 [N] by the name of their field, between image and index. side: pixels. encoding: 'raw' or 'jpg'.
    """

    sizes: Positions
    numbers: dict[str, Positions]
    side: int
    encoding: str

    @property
    def page_size(self) -> int:
        return page_size_for(max(3 * self.side**2, int(self.sizes.max())))


@dataclass(frozen=True)
class _Layout:
    """Byte offsets of the samples [N] and of the allocation table, and the first sample of each page."""

    positions: Positions
    table: int
    firsts: list[int]


class _Hashed:
    """A file that hashes what is written to it and can be padded with zeros up to a position."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._position = file, 0
        self.digest = hashlib.sha256()

    def write(self, data: bytes | memoryview) -> None:
        self._file.write(data)
        self.digest.update(data)
        self._position += len(data)

    def pad_to(self, position: int) -> None:
        while self._position < position:
            self.write(bytes(min(position - self._position, PAGE_SIZE)))


def write_beton(
    path: Path,
    samples: Samples,
    read: Callable[[int], Iterable[memoryview]],
    done: Callable[[int], None] = lambda count: None,
) -> FileRecord:
    """Write a beton with fields image, those of `samples.numbers`, index (= position); returns its length and sha256.

    read(n) yields the next n bytes of image data, in pieces; done(n) is called for every n samples written.
    Raises OSError when the disk is full.
    """
    fields = {"image": RGBImageField(), **{name: IntField() for name in [*samples.numbers, "index"]}}
    metadata = _metadata(samples, list(fields.values()))
    layout = _arrange(samples, HeaderType.itemsize + len(fields) * FieldDescType.itemsize + metadata.nbytes)
    metadata["f0"]["data_ptr"] = layout.positions
    with path.open("wb") as file:
        out = _Hashed(file)
        out.write(_header(samples, len(fields), layout).tobytes())
        out.write(_descriptions(fields).tobytes())
        out.write(metadata.tobytes())
        for first, last in pairwise([*layout.firsts, len(samples.sizes)]):
            out.pad_to(int(layout.positions[first]))
            for piece in read(int(samples.sizes[first:last].sum())):
                out.write(piece)
            done(last - first)
        out.pad_to(layout.table)
        out.write(_allocations(samples, layout).tobytes())
        file.flush()
        os.fsync(file.fileno())  # before the rename that makes it count
    return {"bytes": path.stat().st_size, "sha256": out.digest.hexdigest()}


def _arrange(samples: Samples, before: int) -> _Layout:
    """Fill page after page, in order; FFCV finds a page by bit-shifting the absolute address."""
    page, sizes = samples.page_size, samples.sizes
    ends = np.cumsum(sizes)
    positions, firsts, start, first = np.empty_like(sizes), [], -(-before // page) * page, 0
    while first < len(sizes):
        offset = int(ends[first] - sizes[first])
        last = int(np.searchsorted(ends, offset + page, side="right"))
        positions[first:last] = start + ends[first:last] - sizes[first:last] - offset
        firsts.append(first)
        first, start = last, start + page
    return _Layout(positions=positions, table=start, firsts=firsts)  # the last page is padded, as FFCV does


def _metadata(samples: Samples, fields: list[Field]) -> NDArray[Any]:
    metadata = np.zeros(len(samples.sizes), get_metadata_type(fields))
    metadata["f0"]["mode"] = IMAGE_MODES[samples.encoding]
    metadata["f0"]["width"] = metadata["f0"]["height"] = samples.side
    for number, values in enumerate([*samples.numbers.values(), np.arange(len(metadata))], 1):
        metadata[f"f{number}"] = values
    return metadata


def _allocations(samples: Samples, layout: _Layout) -> NDArray[Any]:
    table = np.zeros(len(samples.sizes), ALLOC_TABLE_TYPE)
    table["sample_id"], table["ptr"], table["size"] = np.arange(len(table)), layout.positions, samples.sizes
    return table


def _header(samples: Samples, num_fields: int, layout: _Layout) -> NDArray[Any]:
    header = np.zeros(1, HeaderType)
    header["version"] = CURRENT_VERSION
    header["num_fields"] = num_fields
    header["page_size"] = samples.page_size
    header["num_samples"] = len(samples.sizes)
    header["alloc_table_ptr"] = layout.table
    return header


def _descriptions(fields: dict[str, Field]) -> NDArray[Any]:
    type_ids = {handler: type_id for type_id, handler in TYPE_ID_HANDLER.items()}
    descriptions = np.zeros(len(fields), FieldDescType)
    for row, (name, field) in zip(descriptions, fields.items(), strict=True):
        row["type_id"] = type_ids[type(field)]
        row["name"][: len(name)] = np.frombuffer(name.encode("ascii"), np.uint8)
        row["arguments"][:] = field.to_binary()[0]
    return descriptions


def read_numbers(path: Path, field: str) -> Positions:
    """A field of integers of a beton, int64 [N], from its metadata alone."""
    reader = Reader(str(path))
    return reader.metadata[f"f{reader.field_names.index(field)}"].astype(np.int64)
