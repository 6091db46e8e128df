"""Make a data folder: python dataprep/make_beton.py NAME [--source PATH] [--out DATA] ..."""

import argparse
import errno
import os
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import NoReturn

from dataprep.catalog import DATASETS
from dataprep.storage import Options
from dataprep.workers import WorkerDied

KEPT = "finished parts are kept, the same command goes on from them"


class _Parser(argparse.ArgumentParser):
    """Says one line about a mistake, not the whole usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"make_beton.py: error: {message}\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(description="Write an image set as FFCV betons with label splits.", allow_abbrev=False)
    add = parser.add_argument
    add("dataset", metavar="NAME", help=f"data set: {', '.join(DATASETS)}")
    add("--source", type=Path, help="directory or tar to read (default DATA/raw/NAME)")
    add("--out", type=Path, default=Path("data"), help="DATA; the result lies in DATA/NAME (default data)")
    add("--name", help="name of the result (default: the data set's)")
    add(
        "--labels-per-class",
        type=int,
        nargs="+",
        help="label counts to draw splits of (default: those usual)",
    )
    add(
        "--label-fraction",
        type=float,
        default=0.1,
        help="share of images in the fraction splits (default 0.1)",
    )
    add("--seeds", type=int, nargs="+", default=[0, 1, 2], help="seeds of the splits (default 0 1 2)")
    add("--workers", type=int, default=len(os.sched_getaffinity(0)), help="processes (default: all cores)")
    add("--max-rejected", type=float, default=0.001, help="share of unreadable images allowed (default 0.001)")
    add(
        "--test-fraction",
        type=float,
        default=0.1,
        help="share held out when there is no test folder (default 0.1)",
    )
    add("--classes", type=int, help="webvision: the first so many alone, 50 for the mini set (default: all)")
    add("--no-extra", dest="extra", action="store_false", help="svhn: without the extra training images")
    add("--image-size", type=int, help="side the network sees, in pixels (default: of the images, or 224)")
    add("--stored-size", type=int, help="side stored, in pixels (default: the image size, or 256 for 224)")
    add(
        "--encoding",
        choices=["auto", "raw", "jpg"],
        default="auto",
        help="auto: raw up to 96 pixels, else jpg",
    )
    add("--jpeg-quality", type=int, default=90, help="1 to 100 (default 90)")
    add(
        "--resize",
        choices=["squash", "crop"],
        default="squash",
        help="training images: squash to a square, or shorter side and centre crop (default squash)",
    )
    add("--verify", action="store_true", help="check the finished DATA/NAME against its manifest, write nothing")
    add(
        "--flip",
        action=argparse.BooleanOptionalAction,
        help="may images be mirrored (default: the data set's)",
    )
    return parser


def _options(arguments: list[str] | None) -> Options:
    args = vars(_parser().parse_args(arguments))
    if args["dataset"] not in DATASETS:
        raise ValueError(f"unknown data set {args['dataset']!r}; known are {', '.join(DATASETS)}")
    data_set = DATASETS[args["dataset"]]
    args["name"] = args["name"] if args["name"] is not None else args["dataset"]
    args["flip"] = data_set.flip if args["flip"] is None else args["flip"]
    args["seeds"] = tuple(dict.fromkeys(args["seeds"]))
    if args["labels_per_class"]:
        args["labels_per_class"] = tuple(dict.fromkeys(args["labels_per_class"]))
    args["download"] = data_set.download and args["source"] is None
    if data_set.needs_source:
        args["source"] = args["source"] or args["out"] / "raw" / args["name"]
    options = Options(**args)
    _check(options, data_set.needs_source)
    return options


def _check(options: Options, needs_source: bool) -> None:
    source, sizes = options.source, (options.image_size, options.stored_size)
    rules = [
        (needs_source or source is None, f"--source: {options.dataset} comes with a library and takes none"),
        (
            source is None or source.exists() or options.download or options.verify,
            f"--source {source} does not exist; name a directory or a tar file",
        ),
        (_plain_name(options.name), f"--name {options.name!r}: use a plain folder name other than 'raw'"),
        (all(n >= 1 for n in options.labels_per_class or ()), "--labels-per-class: counts start at 1"),
        (0 < options.label_fraction <= 1, "--label-fraction: above 0, at most 1"),
        (all(0 <= seed < 2**32 for seed in options.seeds), "--seeds: from 0 to 4294967295"),
        (options.workers >= 1, "--workers: at least 1"),
        (0 <= options.max_rejected < 1, "--max-rejected: from 0 to below 1"),
        (0 < options.test_fraction < 1, "--test-fraction: between 0 and 1"),
        (
            all(s is None or 8 <= s <= 8192 for s in sizes),
            "--image-size, --stored-size: from 8 to 8192 pixels",
        ),
        (1 <= options.jpeg_quality <= 100, "--jpeg-quality: from 1 to 100"),
        (options.classes is None or options.dataset == "webvision", "--classes: an option of webvision only"),
        (options.classes is None or options.classes >= 2, "--classes: at least 2"),
        (options.extra or options.dataset == "svhn", "--no-extra: an option of svhn only"),
    ]
    for fine, message in rules:
        if not fine:
            raise ValueError(message)


def _plain_name(name: str) -> bool:
    return bool(name) and name == Path(name).name and not name.startswith(".") and name != "raw"


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt  # a cancelled job cleans up as Ctrl-C does


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit code: 0 made or verified, 1 the machine failed us, 2 the user's mistake, 130 interrupted."""
    try:
        options = _options(arguments)
        if options.verify:
            from dataprep.verify import verify

            print(verify(options.out / options.name, options.workers))
        else:
            from dataprep.build import build  # workers import this file too and need none of it

            print(build(options))
    except ValueError as error:
        print(f"make_beton.py: error: {error}", file=sys.stderr)
        return 2
    except (OSError, WorkerDied) as error:
        full = isinstance(error, OSError) and error.errno == errno.ENOSPC
        text = f"{options.out}: the disk is full; {KEPT} when there is room, or give another --out" if full else error
        print(f"make_beton.py: error: {text}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"make_beton.py: interrupted; {KEPT}", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _terminate)
    sys.exit(main())
