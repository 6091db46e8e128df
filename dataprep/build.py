"""Makes a data folder from options, or adds splits to one made before."""

import json
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import PIL

from dataprep import manifest
from dataprep.catalog import DATASETS
from dataprep.identity import asked, identity
from dataprep.images import SMALL, native_sizes
from dataprep.labels import add_splits, check_label_counts, write_splits
from dataprep.listing import Listing, Request, beton_order, files_sha256
from dataprep.partial import PartialFolder, check_space
from dataprep.reporting import note
from dataprep.sources import Entry, FileReader, Reader
from dataprep.storage import Options, Storage, needs_native_size, resolve
from dataprep.workers import Workers, chunks

if TYPE_CHECKING:
    from dataprep.encode import Stored

BETONS = ("train", "test")
SLACK = 16 << 20  # bytes of a beton beside its images: metadata, and pages of 8 MiB that are filled up
SAMPLE = 512  # headers of each beton that are read to see whether images share one size
FILTER = "PIL bilinear with antialias, JPEGs decoded at full size; test: shorter side, then centre crop"
ORDER = "blake2b-128 of the relative path, key 'calibratemix order'"


def build(options: Options) -> str:
    """Make OUT/NAME and return a line that sums it up.

    Raises ValueError for the user's mistakes, WorkerDied, or OSError; then nothing stands under the final
    name, and parts that were finished are kept for the next run.
    """
    start = time.monotonic()
    final = options.out / options.name
    with PartialFolder(options.out, options.name) as partial:
        old = manifest.read(final) if final.exists() else None
        if old and _same_source(old, options) and not _differences(old, options):
            return add_splits(final, old, options)
        with Workers(options.workers) as workers:  # they start up while this process lists
            listing = _list(options, partial.work)
            native = _native_size(listing, options, workers, old)
            storage = resolve(options, native)
            if old:
                _refuse_other(old, listing, storage, final)
                return add_splits(final, old, options)
            content, rate = _make(options, listing, storage, native, workers, partial)
        return f"{_summary(final, content)}, {time.monotonic() - start:.1f} s ({rate:,.0f} images/s)"


def _list(options: Options, work: Path) -> Listing:
    listing = DATASETS[options.dataset].list(_request(options, work))
    for text in listing.notes:
        note(text)
    listing.train, listing.test = beton_order(listing.train), beton_order(listing.test)
    return listing


def _request(options: Options, work: Path) -> Request:
    return Request(options.source, work, options.test_fraction, options.download, options.classes, options.extra)


def _native_size(listing: Listing, options: Options, workers: Workers, old: manifest.Manifest | None) -> int | None:
    """Side shared by the images, 0 when there is none or it is large; headers are read only if it matters."""
    if listing.native_size is not None or not needs_native_size(options):
        return listing.native_size
    if old and old["source"]["native_size"] is not None and old["files_sha256"] == _files(listing):
        return int(old["source"]["native_size"])
    return _common_size(listing, workers)


def _common_size(listing: Listing, workers: Workers) -> int:
    found: dict[tuple[int, int], str] = {}
    # They stand in random order, so the first are a fair sample; a stray among the others is merely resized.
    sample = listing.train[:SAMPLE] + listing.test[:SAMPLE]
    for some in workers.map(native_sizes, ((listing.reader, chunk) for chunk in chunks(sample))):
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
    from dataprep.encode import encode_missing, join, make_plan  # FFCV takes seconds to import

    train_labels = [entry.label for entry in listing.train]
    check_label_counts(options, train_labels, listing.classes)  # now, not after hours of writing
    entries = {"train": listing.train, "test": listing.test}
    plan = make_plan(partial.parts, entries, storage, _identity(options, listing.reader))
    _check_disk(plan.total, plan.done, storage, partial)
    rate = encode_missing(plan, listing.reader, workers, options.max_rejected)
    stored = join(plan, partial.result, storage)
    content = _content(options, listing, storage, native, stored)
    content["splits"] = write_splits(partial.result, stored.labels["train"], options, listing.classes, known={})
    manifest.write(partial.result, content)
    partial.commit()
    return content, rate


def _content(
    options: Options, listing: Listing, storage: Storage, native: int | None, stored: "Stored"
) -> manifest.Manifest:
    """The manifest, but for its splits."""
    return {
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
            "train_resize": storage.train_resize,
            "resize": FILTER,
            "order": ORDER,
        },
        "versions": manifest.versions(),
        "files_sha256": _files(listing),
        "betons": stored.files,
    }


def _check_disk(total: int, done: int, storage: Storage, partial: PartialFolder) -> None:
    """Say how much will be written, and see that it fits: the parts still to come, and the betons beside them."""
    betons = storage.estimate(total) + len(BETONS) * SLACK
    needed = betons + storage.estimate(total - done)
    note(
        f"{total} images, about {betons / 1e9:.2f} GB at most; writing them takes {needed / 1e9:.2f} GB for a time, "
        f"{shutil.disk_usage(partial.path).free / 1e9:.2f} GB are free"
    )
    check_space(partial.path, needed)


def _summary(folder: Path, content: manifest.Manifest) -> str:
    counts, size = content["counts"], content["stored_size"]
    megabytes = sum(beton["bytes"] for beton in content["betons"].values()) / 1e6
    return (
        f"{folder}: {counts['train']} train ({counts['unlabelled']} unlabelled), {counts['test']} test, "
        f"{counts['rejected']} rejected, {len(content['classes'])} classes, {size}x{size} "
        f"{content['writer']['encoding']}, {megabytes:.1f} MB, {len(content['splits'])} splits"
    )


def _files(listing: Listing) -> dict[str, str]:
    entries: dict[str, list[Entry]] = {"train": listing.train, "test": listing.test}
    return {beton: files_sha256(entries[beton]) for beton in BETONS}


def _identity(options: Options, reader: Reader) -> str:
    """What shapes encoded images beside entries and recipe: the files that hold many of them, and the software."""
    holders = None if isinstance(reader, FileReader) else identity(options.source)
    return json.dumps([asked(options), holders, PIL.__version__])


def _source(options: Options, listing: Listing, native: int | None) -> dict[str, Any]:
    """What the folder was made from; one of few files is known again without listing it."""
    where = options.source
    kind = "built-in" if where is None else "archive" if where.is_file() else "directory"
    return {
        "kind": kind,
        "name": options.dataset if where is None else where.resolve().name,
        "identity": identity(where),
        **asked(options),
        "native_size": native,
        "test_fraction": None if listing.own_test else options.test_fraction,
    }


def _same_source(old: manifest.Manifest, options: Options) -> bool:
    """Whether the source can be taken for unchanged without listing it (a built-in set always can)."""
    source, where = old["source"], options.source
    if source["test_fraction"] not in (None, options.test_fraction):
        return False
    if any(source.get(key) != value for key, value in asked(options).items()):
        return False
    if source["native_size"] is None and needs_native_size(options):
        return False
    if where is not None and not where.exists():  # what was downloaded may be removed once it is a beton
        return True
    now = identity(where)
    return now is not None and now == source.get("identity")


def _differences(old: manifest.Manifest, options: Options) -> list[str]:
    return resolve(options, old["source"]["native_size"]).differences(old)


def _refuse_other(old: manifest.Manifest, listing: Listing, storage: Storage, final: Path) -> None:
    found = storage.differences(old)
    if old["files_sha256"] != _files(listing) or old["classes"] != listing.classes:
        found.insert(0, "its images are others")
    if found:
        raise ValueError(f"{final} exists and differs ({'; '.join(found)}); remove it or use another --out or --name")
