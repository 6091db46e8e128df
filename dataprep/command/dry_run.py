"""Says what a command would make, and writes nothing."""

import os
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from dataprep.command.build import SLACK, WORKERS_RUN, list_images, native_size_of
from dataprep.command.options import BuildOptions
from dataprep.command.own_splits import check_own_splits
from dataprep.command.reuse import refuse_other
from dataprep.console import plural
from dataprep.data_folder import manifest
from dataprep.data_folder.split_draws import class_counts
from dataprep.data_folder.split_files import check_label_counts, missing_splits, wanted_splits
from dataprep.layouts.listing import Listing
from dataprep.sources.entries import Entry
from dataprep.workers import WorkerPool
from dataprep.writing.storage import Storage, resolve_storage


def dry_run(options: BuildOptions) -> str:
    """List the source, print the classes with their counts, and return lines that sum up what would be written.

    Compressed archives are unpacked for the time of the listing. Raises ValueError where the real run would.
    """
    with (
        tempfile.TemporaryDirectory(prefix=f".{options.name}.dry-run-", dir=_near(options.out)) as work,
        WorkerPool(options.workers, preload=WORKERS_RUN) as workers,
    ):
        made = manifest.read(options.folder) if options.folder.exists() else None
        listing = list_images(replace(options, download=False), Path(work))
        storage = resolve_storage(options.storage, native_size_of(listing, options, workers, made))
    counts = {part: _counts(entries, listing) for part, entries in listing.parts().items()}
    print(_table(listing, counts))
    check_label_counts(options.splits, counts["train"], listing.classes)
    if made:
        refuse_other(made, listing, storage, options)
    else:
        check_own_splits(options.splits, listing)
    draws = wanted_splits(options.splits, counts["train"], listing.classes)
    splits = missing_splits(options.folder, draws, options.splits.seeds, made["splits"] if made else {})
    own = [split.name for split in options.splits.own if not made or split.name not in made["splits"]]
    return f"{_source(listing)}\n{_result(options, listing, storage, [*splits, *own], bool(made))}"


def _near(out: Path) -> Path | None:
    """The nearest folder that exists where the result would be, which has room for an archive; None: the usual one."""
    folder = next(each for each in (out, *out.absolute().parents) if each.is_dir())
    return folder if os.access(folder, os.W_OK) else None


def _counts(entries: list[Entry], listing: Listing) -> list[int]:
    return class_counts(np.array([entry.label for entry in entries], np.int64), len(listing.classes))


def _table(listing: Listing, counts: dict[str, list[int]]) -> str:
    """A line for each class: how many images each part has of it."""
    rows = [["class", *counts]]
    rows += [[name, *(f"{of[c]:,}" for of in counts.values())] for c, name in enumerate(listing.classes)]
    unlabelled = len(listing.train) - sum(counts["train"])
    if unlabelled:
        rows.append(["(unlabelled)", f"{unlabelled:,}"])
    rows = [[name.encode("utf-8", "backslashreplace").decode(), *numbers] for name, *numbers in rows]
    width = max(len(name) for name, *_ in rows)
    return "\n".join(f"  {name:<{width}}" + "".join(f" {number:>10}" for number in numbers) for name, *numbers in rows)


def _source(listing: Listing) -> str:
    entries = [entry for part in listing.parts().values() for entry in part]
    return f"source: {plural(len(entries), 'image')}, {sum(entry.size for entry in entries):,} bytes"


def _result(options: BuildOptions, listing: Listing, storage: Storage, splits: list[str], made: bool) -> str:
    listed = f"{plural(len(splits), 'split')}{' would be added' if made else ''}: {', '.join(splits)}"
    if made:
        return f"{options.folder} is made already; {listed if splits else 'nothing to add'}; nothing was written"
    parts = listing.parts()
    sizes = {part: f"{len(entries):,} {part}" for part, entries in parts.items()}
    sizes["train"] += f" ({sum(entry.label < 0 for entry in listing.train):,} unlabelled)"
    beton_bytes = storage.estimated_bytes(sum(map(len, parts.values()))) + len(parts) * SLACK
    return (
        f"{options.folder} would hold {', '.join(sizes.values())}, {len(listing.classes):,} classes, "
        f"{storage.stored_size}x{storage.stored_size} {storage.encoding}, betons of at most {beton_bytes:,} bytes, "
        f"{listed}; nothing was written"
    )
