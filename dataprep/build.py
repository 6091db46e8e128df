"""Makes a data folder from options, or adds splits to one made before."""

import shutil
import time
from pathlib import Path
from typing import Any

from dataprep import manifest
from dataprep.catalog import DATASETS
from dataprep.images import SMALL, native_sizes
from dataprep.labels import add_splits, check_label_counts, write_splits
from dataprep.listing import Listing, Request, beton_order, files_sha256
from dataprep.partial import PartialFolder, check_space
from dataprep.reporting import note
from dataprep.sources import Entry
from dataprep.storage import Options, Storage, needs_native_size, resolve
from dataprep.workers import Workers, chunks

PARTS = ("train", "test")
RESIZE = "shorter side by PIL bilinear with antialias, centre crop"
ORDER = "blake2b-128 of the relative path, key 'calibratemix order'"


def build(options: Options) -> str:
    """Make OUT/NAME and return a line that sums it up.

    Raises ValueError for the user's mistakes, WorkerDied, or OSError; then nothing is left behind.
    """
    start = time.monotonic()
    final = options.out / options.name
    with PartialFolder(options.out, options.name) as partial:
        old = manifest.read(final) if final.exists() else None
        if old and _same_archive(old, options) and not _differences(old, options):
            return add_splits(final, old, options)
        listing = _list(options, partial.path / ".work")
        with Workers(options.workers) as workers:
            native = _native_size(listing, options, workers, old)
            storage = resolve(options, native)
            if old:
                _refuse_other(old, listing, storage, final)
                return add_splits(final, old, options)
            content, rate = _make(options, listing, storage, native, workers, partial)
        return f"{_summary(final, content)}, {time.monotonic() - start:.1f} s ({rate:,.0f} images/s)"


def _list(options: Options, work: Path) -> Listing:
    work.mkdir()
    listing = DATASETS[options.dataset].list(Request(options.source, work, options.test_fraction))
    for text in listing.notes:
        note(text)
    listing.train, listing.test = beton_order(listing.train), beton_order(listing.test)
    return listing


def _native_size(listing: Listing, options: Options, workers: Workers, old: manifest.Manifest | None) -> int | None:
    """Side shared by all images, 0 when there is none or it is large; headers are read only if it matters."""
    if listing.native_size is not None or not needs_native_size(options):
        return listing.native_size
    if old and old["source"]["native_size"] is not None and old["files_sha256"] == _files(listing):
        return int(old["source"]["native_size"])
    return _common_size(listing, workers)


def _common_size(listing: Listing, workers: Workers) -> int:
    found: dict[tuple[int, int], str] = {}
    everything = listing.train + listing.test
    for some in workers.map(native_sizes, ((listing.reader, chunk) for chunk in chunks(everything))):
        found = {**some, **found}
        odd = [size for size in found if size[0] != size[1] or size[0] > SMALL]
        if odd or len(found) > 1:
            width, height = odd[0] if odd else list(found)[-1]
            example = found[width, height]
            note(f"images are no small squares of one size ({example} is {width}x{height}): stored as photos")
            return 0
    return next(iter(found))[0] if found else 0


def _make(
    options: Options,
    listing: Listing,
    storage: Storage,
    native: int | None,
    workers: Workers,
    partial: PartialFolder,
) -> tuple[manifest.Manifest, float]:
    """Write everything and commit; returns the manifest and the images encoded a second."""
    from dataprep.encode import encode_parts  # FFCV takes seconds to import; "already made" need not wait

    parts = {"train": listing.train, "test": listing.test}
    train_labels = [entry.label for entry in listing.train]
    check_label_counts(options, train_labels, listing.classes)  # now, not after hours of writing
    check_space(partial.path, storage.estimate(len(listing.train) + len(listing.test)))
    stored = encode_parts(partial.path, parts, listing.reader, storage, workers, options.max_rejected)
    shutil.rmtree(partial.path / ".work")
    content = {
        "format": manifest.FORMAT,
        "name": options.name,
        "classes": listing.classes,
        "counts": stored.counts(len(listing.classes)),
        "image_size": storage.image_size,
        "stored_size": storage.stored_size,
        "crop_padding": storage.crop_padding,
        "flip": storage.flip,
        **stored.statistics(storage.stored_size),
        "source": _source(options, listing, native),
        "writer": {
            "encoding": storage.encoding,
            "jpeg_quality": storage.jpeg_quality,
            "page_size": stored.page_size,
            "resize": RESIZE,
            "order": ORDER,
        },
        "versions": manifest.versions(),
        "files_sha256": _files(listing),
        "betons": {f"{part}.beton": manifest.describe(partial.path / f"{part}.beton") for part in PARTS},
        "splits": write_splits(partial.path, stored.labels["train"], options, listing.classes, known={}),
    }
    manifest.write(partial.path, content)
    partial.commit()
    return content, stored.images_per_second


def _summary(folder: Path, content: manifest.Manifest) -> str:
    counts, size = content["counts"], content["stored_size"]
    megabytes = sum(beton["bytes"] for beton in content["betons"].values()) / 1e6
    return (
        f"{folder}: {counts['train']} train ({counts['unlabelled']} unlabelled), {counts['test']} test, "
        f"{counts['rejected']} rejected, {len(content['classes'])} classes, {size}x{size} "
        f"{content['writer']['encoding']}, {megabytes:.1f} MB, {len(content['splits'])} splits"
    )


def _files(listing: Listing) -> dict[str, str]:
    parts: dict[str, list[Entry]] = {"train": listing.train, "test": listing.test}
    return {part: files_sha256(parts[part]) for part in PARTS}


def _source(options: Options, listing: Listing, native: int | None) -> dict[str, Any]:
    """What the folder was made from; an archive is known again by name, size and time without listing it."""
    where, archive = options.source, options.source is not None and options.source.is_file()
    found: dict[str, Any] = {"kind": "built-in", "name": options.dataset, "bytes": None, "mtime_ns": None}
    if where is not None:
        found |= {"kind": "archive" if archive else "directory", "name": where.resolve().name}
    if where is not None and archive:
        found |= {"bytes": where.stat().st_size, "mtime_ns": where.stat().st_mtime_ns}
    fraction = None if listing.own_test else options.test_fraction
    return {**found, "dataset": options.dataset, "native_size": native, "test_fraction": fraction}


def _same_archive(old: manifest.Manifest, options: Options) -> bool:
    """Whether the source can be taken for unchanged without listing it (a built-in set always can)."""
    source, where = old["source"], options.source
    if source["dataset"] != options.dataset or source["test_fraction"] not in (None, options.test_fraction):
        return False
    if where is None:
        return source["kind"] == "built-in"
    now = where.stat()
    identity = (where.resolve().name, now.st_size, now.st_mtime_ns)
    known = source["native_size"] is not None or not needs_native_size(options)
    return where.is_file() and known and identity == (source["name"], source["bytes"], source["mtime_ns"])


def _differences(old: manifest.Manifest, options: Options) -> list[str]:
    return resolve(options, old["source"]["native_size"]).differences(old)


def _refuse_other(old: manifest.Manifest, listing: Listing, storage: Storage, final: Path) -> None:
    found = storage.differences(old)
    if old["files_sha256"] != _files(listing) or old["classes"] != listing.classes:
        found.insert(0, "its images are others")
    if found:
        raise ValueError(f"{final} exists and differs ({'; '.join(found)}); remove it or use another --out or --name")
