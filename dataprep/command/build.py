"""Makes a data folder from options, or adds splits to one made before."""

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from dataprep.command import outcome, summary
from dataprep.command.contents import check_contents
from dataprep.command.options import BuildOptions
from dataprep.command.own_splits import check_own_splits, images_of_folder, images_of_plan
from dataprep.command.reuse import is_current, listed_sha256, part_identity, refuse_other, source_record
from dataprep.console import note, plural
from dataprep.data_folder import manifest
from dataprep.data_folder.content_records import write_contents
from dataprep.data_folder.file_list import Row, write_file_list
from dataprep.data_folder.split_draws import class_counts
from dataprep.data_folder.split_files import (
    Records,
    check_label_counts,
    missing_splits,
    wanted_splits,
    write_all_splits,
    write_own_splits,
    write_splits,
)
from dataprep.data_folder.versions import versions
from dataprep.images.native_size import common_size
from dataprep.layouts.catalog import DATASETS
from dataprep.layouts.listing import Listing, ListingRequest
from dataprep.layouts.subsets import take
from dataprep.sources.path_hashes import beton_order
from dataprep.workers import WorkerPool
from dataprep.writing.encode import encode_missing
from dataprep.writing.partial_folder import PartialFolder
from dataprep.writing.plan import Plan, make_plan
from dataprep.writing.storage import Storage, resolve_storage

SLACK = 16 << 20  # bytes of a beton besides its images: metadata, and padding to whole pages of 8 MiB
RESERVE = 1.05  # of the estimated bytes must be free
WORKERS_RUN = "dataprep.writing.parts"
FILTER = "PIL bilinear with antialias, JPEGs decoded at full size; test: shorter side, then centre crop"
ORDER = "blake2b-128 of the relative path, key 'calibratemix order'"


def build(options: BuildOptions) -> str:
    """Make OUT/NAME and return a line that sums it up.

    Raises ValueError for the user's mistakes, WorkerDied, or OSError; then nothing exists under the final
    name, and finished parts are kept for the next run.
    """
    start, folder = time.monotonic(), options.folder
    with PartialFolder(options.out, options.name) as partial:
        made = manifest.read(folder) if folder.exists() else None
        if made and is_current(made, options):
            return _add_splits(made, options)
        with WorkerPool(options.workers, preload=WORKERS_RUN) as workers:  # the fork server starts while we list
            listing = list_images(options, partial.work)
            native_size = native_size_of(listing, options, workers, made)
            storage = resolve_storage(options.storage, native_size)
            if made:
                refuse_other(made, listing, storage, options)
                made = check_contents(made, listing, options, workers)
                return _add_splits(made, options)
            for line in summary.listed(listing):
                note(line)
            plan = _plan(options, listing, storage, partial)
            rate = encode_missing(plan, listing.reader, workers, options.max_rejected, partial.rejects)
        content = _write(options, listing, storage, native_size, plan, partial)
    return outcome.made(folder, content, time.monotonic() - start, rate, listing.remark)


def list_images(options: BuildOptions, work: Path) -> Listing:
    """The images that the options select, in storage order."""
    request = ListingRequest(
        source=options.source,
        work=work,
        test_fraction=options.test_fraction,
        download=options.download,
        classes=options.classes,
        extra=options.extra,
        labels=options.labels,
    )
    listing = take(DATASETS[options.dataset].list(request), options.subset)
    for text in listing.notes:
        note(text)
    if unlabelled := [entry.path for entry in listing.test if entry.label < 0]:
        raise ValueError(
            f"{plural(len(unlabelled), 'test image')} without a label, for example {min(unlabelled)}: nothing can be "
            "measured on them; label them or leave them out"
        )
    listing.train, listing.test = beton_order(listing.train), beton_order(listing.test)
    listing.validation = beton_order(listing.validation)
    return listing


def native_size_of(
    listing: Listing, options: BuildOptions, workers: WorkerPool, made: manifest.Manifest | None
) -> int | None:
    """As in Listing, but looked up in the images' headers where it is unknown and matters."""
    if listing.native_size is not None or not options.storage.depends_on_images:
        return listing.native_size
    if made and made["source"]["native_size"] is not None and made["files_sha256"] == listed_sha256(listing):
        return made["source"]["native_size"]
    return common_size(listing.train, listing.test, listing.reader, workers)


def _plan(options: BuildOptions, listing: Listing, storage: Storage, partial: PartialFolder) -> Plan:
    """What has to be encoded; everything that can fail early is checked before hours of encoding."""
    labels = np.array([entry.label for entry in listing.train], np.int64)
    check_label_counts(options.splits, class_counts(labels, len(listing.classes)), listing.classes)
    check_own_splits(options.splits, listing)
    plan = make_plan(partial.parts, listing.parts(), storage, part_identity(options, listing), options.rehash)
    _check_space(plan, storage, partial.free_bytes, options.out)
    return plan


def _check_space(plan: Plan, storage: Storage, free_bytes: int, out: Path) -> None:
    """Report how much will be written. Raises OSError unless the missing parts and the betons both fit on the disk."""
    beton_bytes = storage.estimated_bytes(plan.total) + len(plan.betons()) * SLACK
    needed = beton_bytes + storage.estimated_bytes(plan.total - plan.done)
    note(outcome.planned(plan.total, beton_bytes, needed, free_bytes))
    if free_bytes < needed * RESERVE:
        raise OSError(
            f"{out}: about {outcome.size(needed * RESERVE)} are needed but only {outcome.size(free_bytes)} are free; "
            "free some disk space or choose another --out"
        )


def _write(
    options: BuildOptions,
    listing: Listing,
    storage: Storage,
    native_size: int | None,
    plan: Plan,
    partial: PartialFolder,
) -> manifest.Manifest:
    """Join the finished parts, draw the splits and give the folder its final name."""
    from dataprep.writing.join import join  # FFCV takes seconds to import
    from dataprep.writing.preview import write_preview

    stored = join(plan, partial.result, storage)
    splits = write_all_splits(partial.result, stored.labels["train"], options.splits, listing.classes)
    if options.splits.own:
        images = images_of_plan(plan, listing, stored.labels["train"])
        splits |= write_own_splits(partial.result, options.splits, images, known={})
    mean, std = stored.mean_and_std(storage.stored_size)
    content: manifest.Manifest = {
        "format": manifest.FORMAT,
        "name": options.name,
        "classes": listing.classes,
        "counts": stored.counts(len(listing.classes)),
        "image_size": storage.image_size,
        "stored_size": storage.stored_size,
        "crop_padding": storage.crop_padding,
        "flip": storage.flip,
        "mean": mean,
        "std": std,
        "source": source_record(options, listing, native_size),
        "writer": {
            "encoding": storage.encoding,
            "jpeg_quality": storage.jpeg_quality,
            "page_size": stored.page_size,
            "train_resize": storage.train_resize,
            "resize": FILTER,
            "order": ORDER,
        },
        "versions": versions(),
        "files_sha256": listed_sha256(listing),
        "betons": stored.files,
        "contents": write_contents(partial.result, {beton: plan.records(beton) for beton in plan.betons()}),
        "file_list": write_file_list(partial.result, _file_rows(plan, listing.classes)),
        "splits": splits,
    }
    manifest.write(partial.result, content)
    if options.preview:
        write_preview(partial.result, listing.classes, options.name)
    partial.commit()
    return content


def _file_rows(plan: Plan, classes: list[str]) -> Iterator[Row]:
    for beton in plan.betons():
        for position, entry in enumerate(plan.stored(beton)):
            yield position, beton, entry.path, classes[entry.label] if entry.label >= 0 else ""


def _add_splits(made: manifest.Manifest, options: BuildOptions) -> str:
    """Add the splits that a finished folder lacks; returns a line for the user."""
    folder, classes, counts = options.folder, made["classes"], made["counts"]["train_per_class"]
    if options.flip_given and made["flip"] != options.storage.flip:
        made = {**made, "flip": options.storage.flip}
        manifest.write(folder, made)
        note(f"training may {'now' if made['flip'] else 'no longer'} mirror images; nothing else has changed")
    for line in summary.stored(made):
        note(line)
    check_label_counts(options.splits, counts, classes)
    draws = wanted_splits(options.splits, counts, classes)
    missing = missing_splits(folder, draws, options.splits.seeds, made["splits"])
    records: Records = {}
    if missing or options.splits.own:
        from dataprep.writing.beton import read_numbers  # FFCV takes seconds to import

        labels = read_numbers(folder / "train.beton", "label")
        records = write_own_splits(folder, options.splits, images_of_folder(folder, labels), made["splits"])
        records |= write_splits(folder, labels, missing)
    if records:
        manifest.write(folder, {**made, "splits": {**made["splits"], **records}})
    return outcome.added(folder, list(records))
