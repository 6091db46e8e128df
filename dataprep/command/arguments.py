"""Parses and checks the command line. A mistake is one line that names the option."""

from pathlib import Path
from typing import Any

from dataprep.command.option_groups import make_parser
from dataprep.command.options import BuildOptions
from dataprep.command.parser import did_you_mean
from dataprep.data_folder.own_splits import parse_own_split
from dataprep.data_folder.split_files import SplitRequest
from dataprep.layouts.catalog import DATASETS, DataSet
from dataprep.layouts.listing import LabelOptions
from dataprep.layouts.subsets import SubsetRequest
from dataprep.writing.storage import StorageRequest


def parse(arguments: list[str] | None) -> BuildOptions:
    """BuildOptions from the command line (None: sys.argv). Raises ValueError for a mistake that argparse lets pass."""
    args = vars(make_parser().parse_args(arguments))
    if args["dataset"] not in DATASETS:
        hint = did_you_mean(args["dataset"], DATASETS)
        raise ValueError(
            f"unknown data set {args['dataset']!r}; {f'{hint} ' if hint else ''}known are {', '.join(DATASETS)}"
        )
    data_set = DATASETS[args["dataset"]]
    name = args["name"] if args["name"] is not None else args["dataset"]
    download = data_set.download and args["source"] is None
    source = args["source"]
    if data_set.needs_source and source is None:
        source = args["out"] / "raw" / name
    elif not data_set.needs_source and source is not None:
        raise ValueError(f"--source: {args['dataset']} comes with a library and needs none; leave it out")
    first_classes, subset = _subset(args)
    options = BuildOptions(
        dataset=args["dataset"],
        name=name,
        source=source,
        out=args["out"],
        workers=args["workers"],
        max_rejected=args["max_rejected"],
        test_fraction=args["test_fraction"],
        classes=first_classes,
        extra=args["extra"],
        download=download,
        verify=args["verify"],
        rehash=args["rehash"],
        dry_run=args["dry_run"],
        preview=args["preview"],
        subset=subset,
        labels=LabelOptions(args["labels_from"], args["image_column"], args["label_column"]),
        splits=_split_request(args, data_set),
        storage=_storage_request(args, data_set),
        flip_given=args["flip"] is not None,
    )
    _check(options)
    return options


def _subset(args: dict[str, Any]) -> tuple[int | None, SubsetRequest]:
    """The number of first classes, where --classes of webvision is one; and the rest of what selects images."""
    names = tuple(dict.fromkeys(args["classes"] or ()))
    if args["limit"] is None and args["limit_seed"] is not None:
        raise ValueError("--limit-seed is used with --limit only")
    first = int(names[0]) if args["dataset"] == "webvision" and len(names) == 1 and names[0].isdecimal() else None
    chosen = names if first is None else ()
    return first, SubsetRequest(class_names=chosen, limit=args["limit"], limit_seed=args["limit_seed"] or 0)


def _split_request(args: dict[str, Any], data_set: DataSet) -> SplitRequest:
    explicit = args["labels_per_class"]
    return SplitRequest(
        labels_per_class=tuple(dict.fromkeys(explicit or data_set.labels_per_class)),
        explicit=bool(explicit),
        label_fraction=args["label_fraction"],
        seeds=tuple(dict.fromkeys(args["seeds"])),
        own=tuple(map(parse_own_split, args["split"])),
    )


def _storage_request(args: dict[str, Any], data_set: DataSet) -> StorageRequest:
    return StorageRequest(
        image_size=args["image_size"],
        stored_size=args["stored_size"],
        encoding=args["encoding"],
        jpeg_quality=args["jpeg_quality"],
        resize=args["resize"],
        flip=data_set.flip if args["flip"] is None else args["flip"],
    )


def _check(options: BuildOptions) -> None:
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
        (_is_plain(options.name), f"--name {options.name!r}: use a plain folder name other than 'raw'"),
        (all(n >= 1 for n in splits.labels_per_class), "--labels-per-class must be at least 1"),
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


def _is_plain(name: str) -> bool:
    # Names go into commands, so they are neither blank nor begin or end with a space.
    plain = bool(name) and name == Path(name).name and not name.startswith((".", "-")) and name != "raw"
    return plain and name == name.strip() and name.isprintable()
