"""Checks a beton's file, structure and labels against the manifest, without decoding an image."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ffcv.fields.rgb_image import IMAGE_MODES
from ffcv.reader import Reader
from ffcv.types import ALLOC_TABLE_TYPE
from numpy.typing import NDArray

from dataprep.data_folder.manifest import FileRecord, Manifest
from dataprep.data_folder.split_draws import class_counts
from dataprep.verification.rules import Rules, file_faults, violated


def beton_faults(file: Path, content: Manifest) -> tuple[list[str], NDArray[np.int64]]:
    """Faults of a beton, and its labels (int64 [N]; empty where its structure is not sound)."""
    form = Form(("label",), content["stored_size"], content["writer"]["encoding"])
    faults, numbers = structure_faults(file, content["betons"][file.name], form)
    if not numbers:
        return faults, np.zeros(0, np.int64)
    miscounted = violated(_counts(numbers["label"], file.stem, content))
    labels = np.zeros(0, np.int64) if miscounted else numbers["label"]
    return faults + [f"{file.name}: {fault}" for fault in miscounted], labels


@dataclass(frozen=True)
class Form:
    """What the samples of a beton are: its fields of integers, the side of its images in pixels, 'raw' or 'jpg'."""

    numbers: tuple[str, ...]
    side: int
    encoding: str


def structure_faults(file: Path, record: FileRecord, form: Form) -> tuple[list[str], dict[str, NDArray[np.int64]]]:
    """Faults of a beton's hash and structure, and its fields of integers by name; none where it is not sound."""
    faults, numbers = file_faults(file, record), {}
    try:
        reader = Reader(str(file))
        unsound = violated(_structure(reader, file, form))
        if not unsound:
            numbers = {name: reader.metadata[f"f{i}"].astype(np.int64) for i, name in enumerate(form.numbers, 1)}
    except Exception as error:  # nearly any, on a damaged header
        unsound = [f"FFCV cannot read it ({type(error).__name__}: {error})"]
    return [f"{file.name}: {fault}" for fault in faults + unsound], numbers


def _structure(reader: Reader, file: Path, form: Form) -> Iterator[tuple[Any, str]]:
    """Header, metadata and allocation table describe the same samples, inside the file, within pages, in order."""
    count, table, fields = int(reader.num_samples), reader.alloc_table, ["image", *form.numbers, "index"]
    yield reader.field_names == fields, f"fields are {', '.join(reader.field_names)}"
    if reader.field_names != fields:
        return
    end = int(reader.header["alloc_table_ptr"]) + count * ALLOC_TABLE_TYPE.itemsize
    yield len(table) == count and end == file.stat().st_size, "the allocation table does not match the samples"
    if len(table) != count:
        return
    order, image = np.arange(count), reader.metadata["f0"]
    in_order = (reader.metadata[f"f{len(fields) - 1}"] == order).all() and (table["sample_id"] == order).all()
    yield in_order, "index is not the position"
    starts, ends, page = table["ptr"], table["ptr"] + table["size"], reader.page_size
    yield (image["data_ptr"] == starts).all(), "image pointers differ from the allocation table"
    limits = np.append(starts[1:], reader.header["alloc_table_ptr"])
    yield (ends <= limits).all() and (table["size"] > 0).all(), "images overlap each other or the allocation table"
    yield (starts // page == (ends - 1) // page).all(), "an image spans two pages"
    side, encoding = form.side, form.encoding
    yield (image["width"] == side).all() and (image["height"] == side).all(), f"not all images are {side}x{side}"
    yield (image["mode"] == IMAGE_MODES[encoding]).all(), f"not all images are {encoding}"
    if encoding == "raw":
        yield (table["size"] == 3 * side**2).all(), "raw images do not have the size of their pixels"


def _counts(labels: NDArray[np.int64], beton: str, content: Manifest) -> Rules:
    counts, num_classes = content["counts"], len(content["classes"])
    num_images, per_class = {
        "train": (counts["train"], counts["train_per_class"]),
        "test": (counts["test"], counts["test_per_class"]),
        "validation": (counts.get("validation", 0), counts.get("validation_per_class", [])),
    }[beton]
    fewest = -1 if beton == "train" else 0  # nothing can be measured on an image without a label
    valid = labels[(labels >= fewest) & (labels < num_classes)]
    yield len(labels) == num_images, f"{len(labels)} samples, not {num_images}"
    yield len(valid) == len(labels), "labels outside the classes"
    yield class_counts(valid, num_classes) == per_class, "numbers of images per class differ from the manifest's"
