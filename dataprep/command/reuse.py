"""Decides what can be reused of an earlier run: a finished data folder, or finished parts."""

import json
from typing import TypedDict

import PIL

from dataprep.command.options import BuildOptions
from dataprep.data_folder.checksums import file_sha256
from dataprep.data_folder.manifest import Manifest, SourceRecord
from dataprep.layouts.listing import Listing
from dataprep.sources.fingerprint import fingerprint
from dataprep.sources.path_hashes import files_sha256
from dataprep.writing.storage import Storage, resolve_storage

_OPTIONS = {
    "test_fraction": "--test-fraction",
    "extra": "--no-extra",
    "classes": "--classes",
    "class_names": "--classes",
    "limit": "--limit",
    "limit_seed": "--limit-seed",
    "labels_from": "--labels-from",
    "image_column": "--image-column",
    "label_column": "--label-column",
}


class Selection(TypedDict):
    """The options that, together with the source, determine the images."""

    dataset: str
    classes: int | None
    class_names: list[str] | None
    limit: int | None
    limit_seed: int | None
    labels_from: str | None
    image_column: str | None
    label_column: str | None
    extra: bool


def selection(options: BuildOptions) -> Selection:
    subset, labels_from = options.subset, options.labels.labels_from
    return {
        "dataset": options.dataset,
        "classes": options.classes,
        "class_names": sorted(subset.class_names) or None,
        "limit": subset.limit,
        "limit_seed": None if subset.limit is None else subset.limit_seed,
        "labels_from": None if labels_from is None else file_sha256(labels_from),
        "image_column": options.labels.image_column,
        "label_column": options.labels.label_column,
        "extra": options.extra,
    }


def part_identity(options: BuildOptions, listing: Listing) -> str:
    """What shapes encoded images besides their entries and recipe: the software, and a source without stamps."""
    archive = None if any(entry.stamp for entry in listing.train) else fingerprint(options.source)
    return json.dumps([selection(options), archive, PIL.__version__])


def source_record(options: BuildOptions, listing: Listing, native_size: int | None) -> SourceRecord:
    """The manifest's `source`."""
    source = options.source
    return {
        "kind": "built-in" if source is None else "archive" if source.is_file() else "directory",
        "name": options.dataset if source is None else source.resolve().name,
        "identity": fingerprint(source),
        **selection(options),
        "native_size": native_size,
        "test_fraction": None if listing.has_test_split else options.test_fraction,
    }


def is_current(made: Manifest, options: BuildOptions) -> bool:
    """Whether the folder is known, without listing the source, to be what the options describe."""
    return not options.rehash and _same_source(made["source"], options) and not _storage_differences(made, options)


def listed_sha256(listing: Listing) -> dict[str, str]:
    """The manifest's `files_sha256` of a listing in storage order."""
    return {beton: files_sha256(entries) for beton, entries in listing.parts().items()}


def refuse_other(made: Manifest, listing: Listing, storage: Storage, options: BuildOptions) -> None:
    """Raises ValueError when the folder holds other images, or stores them differently."""
    found = storage.differences(made)
    if made["files_sha256"] != listed_sha256(listing) or made["classes"] != listing.classes:
        found.insert(0, f"it holds different images{_selected_otherwise(made['source'], options)}")
    if found:
        raise ValueError(
            f"{options.folder} exists and differs ({'; '.join(found)}); remove it or choose another --out or --name"
        )


def _selected_otherwise(source: SourceRecord, options: BuildOptions) -> str:
    """Options that explain why a folder holds other images, as words to add; '' where all are the same."""
    wanted = dict(selection(options))
    if source["test_fraction"] is not None:
        wanted["test_fraction"] = options.test_fraction
    words = []
    for key, option in _OPTIONS.items():
        made = source.get(key)
        if key in source and key in wanted and made != wanted[key]:
            was = "not given" if made is None or made is True else "given" if made is False else made
            was = "another list" if key == "labels_from" and made else was
            words.append(f"{option} was {was}")
    return f", since {' and '.join(words)}" if words else ""


def _same_source(source: SourceRecord, options: BuildOptions) -> bool:
    """Whether the source can be taken for unchanged without listing it; a built-in set always can."""
    if source["test_fraction"] not in (None, options.test_fraction):
        return False
    if any(source.get(key) != value for key, value in selection(options).items()):
        return False
    if source["native_size"] is None and options.storage.depends_on_images:
        return False
    if options.source is not None and not options.source.exists():  # downloads may be removed once they are a beton
        return True
    now = fingerprint(options.source)
    return now is not None and now == source.get("identity")


def _storage_differences(made: Manifest, options: BuildOptions) -> list[str]:
    return resolve_storage(options.storage, made["source"]["native_size"]).differences(made)
