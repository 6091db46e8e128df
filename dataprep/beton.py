"""Writes FFCV's file format, version 2, one sample after the other.

FFCV's own DatasetWriter waits for ever when a worker dies or an image is damaged, and needs every worker to
hold a handle on the file. Here one process writes, in order, what others encoded. The layout is

    header | field descriptions | metadata of each sample | pages of image data | allocation table

Field descriptions come from FFCV's own classes, so its Reader and Loader can't disagree with us.
"""

import os
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from ffcv.fields import IntField, RGBImageField
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

PAGE_SIZE = 8 << 20


def page_size_for(largest: int) -> int:
    """Bytes of a page, a power of two: 8 MiB, or more when one sample needs it (a sample never straddles)."""
    return max(PAGE_SIZE, 1 << (largest - 1).bit_length())


class BetonWriter:
    """A beton of square images with fields image, label, index (= position), for use in a `with` block.

    capacity: the most samples that may follow; space for their metadata is kept, the header counts the
    samples really written. encoding: 'raw' or 'jpg'. Without a clean end of the block the file is no beton.
    """

    def __init__(self, path: Path, capacity: int, size: int, encoding: str) -> None:
        self._fields = {"image": RGBImageField(), "label": IntField(), "index": IntField()}
        self._metadata = np.zeros(capacity, get_metadata_type(list(self._fields.values())))
        self._metadata["f0"]["mode"] = IMAGE_MODES[encoding]
        self._metadata["f0"]["width"] = self._metadata["f0"]["height"] = size
        self._allocations = np.zeros(capacity, ALLOC_TABLE_TYPE)
        self.page_size = page_size_for(3 * size * size)
        self.num_samples = 0
        before = HeaderType.itemsize + len(self._fields) * FieldDescType.itemsize + self._metadata.nbytes
        self._position = self._page_after(before)  # FFCV finds a page by shifting the absolute address
        self._file = path.open("wb", buffering=1 << 20)
        self._file.seek(self._position)

    def __enter__(self) -> "BetonWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._finish()
        finally:
            self._file.close()

    def append(self, data: bytes | memoryview, label: int) -> None:
        """Add one encoded image. Raises OSError when the disk is full."""
        page_end = self._page_after(self._position + 1)
        if self._position + len(data) > page_end:
            self._position = page_end
            self._file.seek(page_end)
        self._file.write(data)
        i = self.num_samples
        self._metadata["f0"]["data_ptr"][i] = self._position
        self._metadata["f1"][i] = label
        self._metadata["f2"][i] = i
        self._allocations[i] = (i, self._position, len(data))
        self._position += len(data)
        self.num_samples += 1

    @property
    def labels(self) -> NDArray[np.int64]:
        """Labels written so far, int64 [num_samples]."""
        return self._metadata["f1"][: self.num_samples].copy()

    def _page_after(self, position: int) -> int:
        return -(-position // self.page_size) * self.page_size

    def _finish(self) -> None:
        table = self._page_after(self._position)  # the last page is filled up, as FFCV does
        self._file.seek(table)
        self._file.write(self._allocations[: self.num_samples].tobytes())
        self._file.seek(0)
        self._file.write(self._header(table).tobytes())
        self._file.write(self._descriptions().tobytes())
        self._file.write(self._metadata.tobytes())
        self._file.flush()
        os.fsync(self._file.fileno())  # before the rename that makes it count

    def _header(self, table: int) -> NDArray[Any]:
        header = np.zeros(1, HeaderType)
        header["version"] = CURRENT_VERSION
        header["num_fields"] = len(self._fields)
        header["page_size"] = self.page_size
        header["num_samples"] = self.num_samples
        header["alloc_table_ptr"] = table
        return header

    def _descriptions(self) -> NDArray[Any]:
        type_ids = {handler: type_id for type_id, handler in TYPE_ID_HANDLER.items()}
        descriptions = np.zeros(len(self._fields), FieldDescType)
        for row, (name, field) in zip(descriptions, self._fields.items(), strict=True):
            row["type_id"] = type_ids[type(field)]
            row["name"][: len(name)] = np.frombuffer(name.encode("ascii"), np.uint8)
            row["arguments"][:] = field.to_binary()[0]
        return descriptions


def read_labels(path: Path) -> NDArray[np.int64]:
    """Labels of a beton, int64 [N], from its metadata alone."""
    reader = Reader(str(path))
    return reader.metadata[f"f{reader.field_names.index('label')}"].astype(np.int64)
