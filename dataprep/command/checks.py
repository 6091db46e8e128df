"""What can be wrong with options before the source is read: one line that names the option and what it may be."""

import math
from pathlib import Path

from dataprep.command.options import BuildOptions
from dataprep.layouts.catalog import DATASETS
from dataprep.layouts.listing import LabelOptions


def check(options: BuildOptions) -> None:
    """Raises ValueError for the first mistake."""
    source, splits, storage = options.source, options.splits, options.storage
    sizes = (storage.image_size, storage.stored_size)
    rules = [
        (
            source is None or source.is_dir() or source.is_file() or not source.exists(),
            f"--source {source} is neither a directory nor a file",
        ),
        (
            source is None or source.exists() or options.download or options.verify,
            _nothing_there(options),
        ),
        (
            not options.rehash or source is None or source.exists(),
            f"--rehash: there is no --source {source} whose content could be compared",
        ),
        (is_plain(options.name), f"--name {options.name!r}: use a plain folder name other than 'raw'"),
        (all(n >= 1 for n in splits.labels_per_class), "--labels-per-class must be at least 1"),
        (all(1 <= rho < math.inf for rho in splits.long_tails), "--long-tail must be at least 1"),
        (0 < splits.label_fraction <= 1, "--label-fraction must be above 0 and at most 1"),
        (all(0 <= seed < 2**32 for seed in splits.seeds), "--seeds must be from 0 to 4294967295"),
        (len({own.name for own in splits.own}) == len(splits.own), "--split: two splits have the same name"),
        (options.workers >= 1, "--workers must be at least 1"),
        (0 <= options.max_rejected < 1, "--max-rejected must be at least 0 and below 1"),
        (0 < options.test_fraction < 1, "--test-fraction must be between 0 and 1"),
        (all(s is None or 8 <= s <= 8192 for s in sizes), "--image-size and --stored-size must be from 8 to 8192"),
        (1 <= storage.jpeg_quality <= 100, "--jpeg-quality must be from 1 to 100"),
        (options.classes is None or options.classes >= 2, "--classes must be at least 2"),
        (
            options.labels == LabelOptions() or options.dataset == "folder",
            "--labels-from, --image-column and --label-column: each is an option of folder only",
        ),
        (
            options.labels.labels_from is None or options.labels.labels_from.is_file(),
            f"--labels-from {options.labels.labels_from} does not exist",
        ),
        (len(options.subset.class_names) != 1, "--classes must name at least 2 different classes"),
        (options.subset.limit is None or options.subset.limit >= 1, "--limit must be at least 1"),
        (0 <= options.subset.limit_seed < 2**32, "--limit-seed must be from 0 to 4294967295"),
        (not (options.verify and options.dry_run), "--verify and --dry-run: choose one"),
        (options.extra or options.dataset in ("svhn", "folder"), "--no-extra is an option of svhn and folder only"),
    ]
    for holds, message in rules:
        if not holds:
            raise ValueError(message)


def _nothing_there(options: BuildOptions) -> str:
    where_from = DATASETS[options.dataset].where_from
    if where_from:
        return (
            f"{options.source} does not exist, and {options.dataset} cannot be downloaded by a program.\n{where_from}"
        )
    return f"--source {options.source} does not exist; name a directory or an archive"


def is_plain(name: str) -> bool:
    # Names go into commands, so they are neither blank nor begin or end with a space.
    plain = bool(name) and name == Path(name).name and not name.startswith((".", "-")) and name != "raw"
    return plain and name == name.strip() and name.isprintable()
