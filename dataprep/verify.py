"""Checks a finished data folder against its manifest, down to the last image."""

import csv
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numba
import numpy as np
from ffcv.fields.decoders import IntDecoder, SimpleRGBImageDecoder
from ffcv.fields.rgb_image import IMAGE_MODES
from ffcv.loader import Loader, OrderOption
from ffcv.reader import Reader
from ffcv.types import ALLOC_TABLE_TYPE
from numpy.typing import NDArray

from dataprep import manifest
from dataprep.images import Tally
from dataprep.reporting import Meter

BATCH = 64
SHOWN = 5  # faults named in full
EXACT, CLOSE = 1e-6, 0.02  # of mean and std; they are taken before compression, which keeps the mean alone
Rules = Iterable[tuple[Any, str]]


def verify(folder: Path, workers: int) -> str:
    """Check hashes, structure, counts and splits, and decode every image through FFCV's loader.

    Returns a line that sums it up. Raises ValueError that names what differs.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder} does not exist; make it first, or name it by --out and --name")
    content = manifest.read(folder)
    faults: list[str] = []
    labels: dict[str, NDArray[np.int64]] = {}
    with Meter("verified", content["counts"]["train"] + content["counts"]["test"]) as meter:
        for beton in ("train", "test"):
            found, labels[beton] = _beton(folder / f"{beton}.beton", content, workers, meter.add)
            faults += found
    faults += _rejects(folder, content)
    for name, described in content["splits"].items():
        file = folder / "splits" / f"{name}.npy"
        faults += [f"{file.name}: {fault}" for fault in _split(file, described, labels["train"], content)]
    strangers = {file.stem for file in (folder / "splits").glob("*.npy")} - set(content["splits"])
    faults += [f"splits/{name}.npy is not in the manifest" for name in sorted(strangers)]
    if faults:
        more = f"; and {len(faults) - SHOWN} more" if len(faults) > SHOWN else ""
        raise ValueError(f"{folder}: {'; '.join(faults[:SHOWN])}{more}; remove it and make it again")
    counts, splits = content["counts"], len(content["splits"])
    return f"{folder}: verified, {counts['train']} train and {counts['test']} test images, {splits} splits"


def _broken(rules: Rules) -> list[str]:
    return [message for fine, message in rules if not fine]


def _file(file: Path, described: dict[str, Any]) -> list[str]:
    """Whether a file is there with the hash, and, where it is known, the length the manifest gives."""
    if not file.is_file():
        return ["missing"]
    size = file.stat().st_size
    if size != described.get("bytes", size):
        return [f"{size} bytes, not {described['bytes']}"]
    return [] if manifest.file_sha256(file) == described["sha256"] else ["sha256 differs from the manifest's"]


def _beton(
    file: Path, content: manifest.Manifest, workers: int, done: Callable[[int], None]
) -> tuple[list[str], NDArray[np.int64]]:
    """Faults of a beton, and its labels (none where its structure is not sound)."""
    faults = _file(file, content["betons"][file.name])
    labels = np.zeros(0, np.int64)
    try:
        reader = Reader(str(file))
        structure = _broken(_structure(reader, file, content))
        found = reader.metadata["f1"].astype(np.int64)
        structure += _broken(_counts(found, file.stem, content))
        labels = labels if structure else found
        if not faults + structure:  # else FFCV may follow a wild pointer
            structure += _broken(_images(file, content, workers, done))
    except Exception as error:  # nearly any, on a damaged header
        structure = [f"no beton that FFCV reads ({type(error).__name__}: {error})"]
    return [f"{file.name}: {fault}" for fault in faults + structure], labels


def _structure(reader: Reader, file: Path, content: manifest.Manifest) -> Iterator[tuple[Any, str]]:
    """Header, metadata and allocation table: of the same samples, inside the file, in pages, in order."""
    count, table = int(reader.num_samples), reader.alloc_table
    yield reader.field_names == ["image", "label", "index"], f"fields are {', '.join(reader.field_names)}"
    end = int(reader.header["alloc_table_ptr"]) + count * ALLOC_TABLE_TYPE.itemsize
    yield len(table) == count and end == file.stat().st_size, "allocation table is not that of its samples"
    if len(table) != count:
        return
    order, image = np.arange(count), reader.metadata["f0"]
    yield (reader.metadata["f2"] == order).all() and (table["sample_id"] == order).all(), "index is not the position"
    starts, ends, page = table["ptr"], table["ptr"] + table["size"], reader.page_size
    yield (image["data_ptr"] == starts).all(), "image pointers are not those of the allocation table"
    limits = np.append(starts[1:], reader.header["alloc_table_ptr"])
    yield (ends <= limits).all() and (table["size"] > 0).all(), "images overlap or run into the table"
    yield (starts // page == (ends - 1) // page).all(), "an image straddles two pages"
    side, mode = content["stored_size"], IMAGE_MODES[content["writer"]["encoding"]]
    yield (image["width"] == side).all() and (image["height"] == side).all(), f"images are not all {side}x{side}"
    yield (image["mode"] == mode).all(), f"images are not all {content['writer']['encoding']}"
    if content["writer"]["encoding"] == "raw":
        yield (table["size"] == 3 * side**2).all(), "raw images are not of the size of their pixels"


def _counts(labels: NDArray[np.int64], beton: str, content: manifest.Manifest) -> Rules:
    counts = content["counts"]
    known = labels[(labels >= -1) & (labels < len(content["classes"]))]
    per_class = manifest.class_counts(known, len(content["classes"]))
    yield len(labels) == counts[beton], f"{len(labels)} samples, not {counts[beton]}"
    yield len(known) == len(labels), "labels outside the classes"
    yield per_class == counts[f"{beton}_per_class"], "counts of the classes are not the manifest's"


def _images(file: Path, content: manifest.Manifest, workers: int, done: Callable[[int], None]) -> Rules:
    """Decode all. FFCV's decoder keeps quiet about a damaged JPEG, so its first and last bytes are looked at too."""
    side, encoding = content["stored_size"], content["writer"]["encoding"]
    if encoding == "jpg":
        bad = _unframed(file)
        yield not len(bad), f"{len(bad)} images are no whole JPEGs, first index {bad[:1]}"
    tally, seen = Tally(side), []
    for images, index in _load(file, workers):
        for image in images:
            tally.add(image.tobytes())
        seen.append(index[:, 0].copy())
        done(len(index))
    yield np.array_equal(np.concatenate(seen), np.arange(content["counts"][file.stem])), "loaded in another order"
    if file.stem == "train":
        mean, std = manifest.channel_statistics(tally.sums(), content["counts"]["train"] * side**2)
        yield (
            np.abs(np.subtract(mean, content["mean"])).max() <= (EXACT if encoding == "raw" else CLOSE),
            (f"its mean is {np.round(mean, 4)}, not the manifest's"),
        )
        same = encoding != "raw" or np.abs(np.subtract(std, content["std"])).max() <= EXACT
        yield same, f"its std is {np.round(std, 4)}, not the manifest's"


def _unframed(file: Path) -> NDArray[np.intp]:
    table, data = Reader(str(file)).alloc_table, np.memmap(file, np.uint8, "r")
    first, last = table["ptr"].astype(np.int64), (table["ptr"] + table["size"]).astype(np.int64) - 1
    marks = [(first, 0xFF), (first + 1, 0xD8), (last - 1, 0xFF), (last, 0xD9)]
    return np.flatnonzero(~np.all([data[where] == value for where, value in marks], axis=0))


def _load(file: Path, workers: int) -> Loader:
    """Batches (images uint8 [B,H,W,3], index int64 [B,1]) in the order of the file."""
    pipelines = {"image": [SimpleRGBImageDecoder()], "label": None, "index": [IntDecoder()]}
    threads = min(workers, numba.get_num_threads())
    return Loader(
        str(file), BATCH, num_workers=threads, order=OrderOption.SEQUENTIAL, drop_last=False, pipelines=pipelines
    )


def _rejects(folder: Path, content: manifest.Manifest) -> list[str]:
    try:
        with (folder / "rejected.csv").open(newline="", encoding="utf-8", errors="surrogateescape") as file:
            count = len(list(csv.DictReader(file)))
    except OSError as error:
        return [f"rejected.csv: {error.strerror}"]
    known = content["counts"]["rejected"]
    return [] if count == known else [f"rejected.csv: {count} rows, not {known}"]


def _split(file: Path, described: dict[str, Any], labels: NDArray[np.int64], content: manifest.Manifest) -> list[str]:
    """Hash, form, and that the split is what its name says: so many of each class, or that share of them."""
    faults = _file(file, described)
    if faults or not len(labels):
        return faults
    positions = np.load(file)
    rules = [
        (positions.dtype == np.int64 and len(positions) == described["size"], "not of the size in the manifest"),
        ((np.diff(positions) > 0).all(), "not sorted"),
        (((positions >= 0) & (positions < len(labels))).all(), "positions outside train.beton"),
    ]
    faults = _broken(rules)
    return faults or _broken(_drawn(file.stem.rsplit("-seed", 1)[0], labels, labels[positions], content))


def _drawn(kind: str, labels: NDArray[np.int64], drawn: NDArray[np.int64], content: manifest.Manifest) -> Rules:
    yield (drawn >= 0).all(), "holds unlabelled images"
    there = np.array(manifest.class_counts(labels, len(content["classes"])))
    counts = np.array(manifest.class_counts(drawn, len(content["classes"])))
    if kind.isdigit():
        yield (counts == int(kind)).all(), f"not exactly {kind} of every class"
    elif kind == "all":
        yield (counts == there).all(), "not all labelled images"
    elif kind.endswith("pct-balanced"):
        wanted = np.maximum(there * float(kind.removesuffix("pct-balanced")) / 100, 1)
        yield (np.abs(counts - wanted) <= 1).all(), "not the same share of every class"
    else:
        wanted = np.maximum(there.sum() * float(kind.removesuffix("pct")) / 100, 1)
        yield abs(len(drawn) - wanted) <= 1, "not the share its name says"
