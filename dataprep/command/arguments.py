"""Parses and checks the command line. A mistake is one line that names the option."""

from typing import Any

from dataprep.command.checks import check
from dataprep.command.groups import GROUPS, group_options
from dataprep.command.option_groups import make_parser
from dataprep.command.options import BuildOptions, GroupOptions
from dataprep.command.parser import did_you_mean
from dataprep.data_folder.own_splits import parse_own_split
from dataprep.data_folder.split_files import SplitRequest
from dataprep.layouts.catalog import DATASETS, DataSet
from dataprep.layouts.listing import LabelOptions
from dataprep.layouts.subsets import SubsetRequest
from dataprep.writing.storage import StorageRequest


def parse(arguments: list[str] | None) -> BuildOptions | GroupOptions:
    """The options on the command line (None: sys.argv). Raises ValueError for a mistake that argparse lets pass."""
    parser = make_parser()
    args = vars(parser.parse_args(arguments))
    if args["dataset"] == GROUPS:
        return group_options(args, parser.get_default)
    if args["of"] is not None:
        raise ValueError(f"--of is an option of {GROUPS} only")
    if args["dataset"] not in DATASETS:
        hint = did_you_mean(args["dataset"], [*DATASETS, GROUPS])
        known = ", ".join([*DATASETS, GROUPS])
        raise ValueError(f"unknown data set {args['dataset']!r}; {f'{hint} ' if hint else ''}known are {known}")
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
    check(options)
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
        long_tails=tuple(dict.fromkeys(args["long_tail"] or data_set.long_tails)),
        long_tails_explicit=bool(args["long_tail"]),
        validation=tuple(dict.fromkeys(args["validation"])),
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
