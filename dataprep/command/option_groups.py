"""Every option of the command line, in the groups of its help."""

import argparse
import os
from pathlib import Path

from dataprep.command.parser import EXAMPLES, CommandParser
from dataprep.layouts.catalog import DATASETS


def make_parser() -> argparse.ArgumentParser:
    """The command line, in groups."""
    parser = CommandParser(
        prog="make_beton.py",
        description="Convert an image set to FFCV beton files, with label splits and a manifest, in DATA/NAME.",
        epilog=f"{EXAMPLES}\nA second call only adds splits that are missing. docs/data.md explains more.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage="make_beton.py NAME [--source PATH] [--out DATA] [option ...]",
        allow_abbrev=False,
    )
    help_text = f"The data set to convert: {', '.join(DATASETS)}; or groups, of generated images (see --of)."
    parser.add_argument("dataset", metavar="NAME", help=help_text)
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
        "--of",
        metavar="NAME",
        help="Only for groups: the data set DATA/NAME between whose classes they lie. --source holds shards, or "
        "CLASSA_CLASSB/GROUP/PLACE.png; the result is by default DATA/NAME-csm.",
    )
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
        "--long-tail",
        type=float,
        nargs="+",
        metavar="RHO",
        help="Draw long-tailed splits ltRHO: fewer images from class to class, of the last one RHO times fewer than of "
        "the first, which has as many as the smallest class; by default 10 and 100 for cifar10 and cifar100.",
    )
    add(
        "--label-fraction",
        type=float,
        metavar="SHARE",
        default=0.1,
        help="Also draw splits in which this share of the training images is labelled; by default 0.1.",
    )
    add(
        "--validation",
        type=int,
        nargs="+",
        metavar="N",
        default=[],
        help="Also draw N training images, in proportion to the classes, that training leaves out and is measured on.",
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
        help="Whether training may mirror images; by default yes, except for digits. A second call can change it.",
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
