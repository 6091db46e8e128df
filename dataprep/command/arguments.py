"""Parses and checks the command line. A mistake is one line that names the option."""

import argparse
import os
from pathlib import Path
from typing import Any

from dataprep.command.options import BuildOptions
from dataprep.command.parser import EXAMPLES, CommandParser, did_you_mean
from dataprep.data_folder.own_splits import parse_own_split
from dataprep.data_folder.split_files import SplitRequest
from dataprep.layouts.catalog import DATASETS, DataSet
from dataprep.layouts.listing import LabelOptions
from dataprep.layouts.subsets import SubsetRequest
from dataprep.writing.storage import StorageRequest


def parse(arguments: list[str] | None) -> BuildOptions:
    """BuildOptions from the command line (None: sys.argv). Raises ValueError for a mistake that argparse lets pass."""
    args = vars(_parser().parse_args(arguments))
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
    )
    _check(options)
    return options


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser(
        prog="make_beton.py",
        description="Convert an image set to FFCV beton files, with label splits and a manifest, in DATA/NAME.",
        epilog=f"{EXAMPLES}\nA second call only adds splits that are missing. docs/data.md explains more.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage="make_beton.py NAME [--source PATH] [--out DATA] [option ...]",
        allow_abbrev=False,
    )
    parser.add_argument("dataset", metavar="NAME", help=f"The data set to convert: {', '.join(DATASETS)}.")
    _add_source(parser.add_argument_group("where images come from and go to"))
    _add_selection(parser.add_argument_group("which images are used"))
    _add_splits(parser.add_argument_group("which images are labelled"))
    _add_storage(parser.add_argument_group("how images are stored"))
    _add_run(parser.add_argument_group("how the command runs"))
    return parser


def _add_source(group: "argparse._ArgumentGroup") -> None:
    add = group.add_argument
    add("--source", type=Path, metavar="PATH", help="Directory or archive to read; by default DATA/raw/NAME.")
    add(
        "--out",
        type=Path,
        metavar="DATA",
        default=Path("data"),
        help="Directory that will contain the result, DATA/NAME; by default 'data'.",
    )
    add("--name", help="Name of the result; by default that of the data set.")
    add(
        "--labels-from",
        type=Path,
        metavar="CSV",
        help="Only for folder: a list of files and their labels, instead of class folders: file,label or "
        "file,label,part in each line. An empty label makes an image unlabelled.",
    )
    add("--image-column", metavar="COLUMN", help="Only for parquet files: the column of images, if there are several.")
    add("--label-column", metavar="COLUMN", help="Only for parquet files: the column of labels, if there are several.")


def _add_selection(group: "argparse._ArgumentGroup") -> None:
    add = group.add_argument
    add(
        "--classes",
        nargs="+",
        metavar="NAME",
        help="Use only these classes. For webvision also a number N: the first N classes and google's images alone; 50 "
        "gives the mini set.",
    )
    add(
        "--limit",
        type=int,
        metavar="N",
        help="Use at most N images of each class for training and N for testing; of unlabelled ones N times the number "
        "of classes.",
    )
    add("--limit-seed", type=int, metavar="SEED", help="Decides which images --limit keeps; by default 0.")
    add(
        "--no-extra",
        dest="extra",
        action="store_false",
        help="Leave out the extra training images: svhn's 531,131, or a folder's extra/.",
    )
    add(
        "--test-fraction",
        type=float,
        metavar="SHARE",
        default=0.1,
        help="Only for folder: hold out this share for testing when there is no test folder; by default 0.1.",
    )


def _add_splits(group: "argparse._ArgumentGroup") -> None:
    add = group.add_argument
    add(
        "--labels-per-class",
        type=int,
        nargs="+",
        metavar="N",
        help="Draw splits with N labelled images per class; by default the numbers usual for the data set.",
    )
    add(
        "--label-fraction",
        type=float,
        metavar="SHARE",
        default=0.1,
        help="Also draw splits in which this share of the training images is labelled; by default 0.1.",
    )
    add(
        "--seeds",
        type=int,
        nargs="+",
        metavar="SEED",
        default=[0, 1, 2],
        help="Draw every split once for each of these seeds; by default 0 1 2.",
    )
    add(
        "--split",
        action="append",
        default=[],
        metavar="NAME=FILE",
        help="Add a split of your own, which training takes by labels=NAME: a .npy of positions in train.beton, or a "
        "text with a path a line, as in files.csv.gz. May be repeated.",
    )


def _add_storage(group: "argparse._ArgumentGroup") -> None:
    add = group.add_argument
    add(
        "--image-size",
        type=int,
        metavar="PIXELS",
        help="Side of the images the network is trained on; by default that of the images if they are small squares "
        "of one size, otherwise 224.",
    )
    add(
        "--stored-size",
        type=int,
        metavar="PIXELS",
        help="Side of the stored images, from which training crops; by default the image size up to 96, and 8/7 of "
        "it above (256 for 224).",
    )
    add(
        "--encoding",
        choices=["auto", "raw", "jpg"],
        default="auto",
        help="Store pixels as they are (raw) or compressed (jpg); by default raw up to a stored size of 96, otherwise "
        "jpg.",
    )
    add("--jpeg-quality", type=int, metavar="Q", default=90, help="Quality of stored JPEGs, 1 to 100; by default 90.")
    add(
        "--resize",
        choices=["squash", "crop"],
        default="squash",
        help="Make training images square by changing their aspect ratio (squash) or by cutting off what is outside "
        "the central square (crop); by default squash. Test images are always cropped.",
    )
    add(
        "--flip",
        action=argparse.BooleanOptionalAction,
        help="Whether training may mirror images; by default yes, except for digits.",
    )


def _add_run(group: "argparse._ArgumentGroup") -> None:
    add = group.add_argument
    cores = len(os.sched_getaffinity(0))
    add("--workers", type=int, metavar="N", default=cores, help="Number of processes; by default one per CPU core.")
    add(
        "--max-rejected",
        type=float,
        metavar="SHARE",
        default=0.001,
        help="Stop with an error when more than this share of the images cannot be read; by default 0.001.",
    )
    add(
        "--rehash",
        action="store_true",
        help="Compare the content of every file with that of an earlier run; by default only of files whose size or "
        "time has changed.",
    )
    add(
        "--verify",
        action="store_true",
        help="Write nothing; check the finished DATA/NAME against its manifest, down to the last image.",
    )
    add(
        "--no-preview",
        dest="preview",
        action="store_false",
        help="Leave out preview.png, which shows a few images of each class.",
    )
    add(
        "--dry-run",
        action="store_true",
        help="Write nothing; list the source, and print its classes, the images of each, and the bytes it would take.",
    )


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
