"""Says of every generated image how much of each of its two classes it is (CSM, Eq. 8 and 9), and shows what they are.

    python pipeline/annotate.py data/digits-csm --encoder runs/digits/supervised/all/0
    torchrun --standalone --nproc_per_node=gpu pipeline/annotate.py data/cifar10-csm --encoder clip:ViT-B-32.safetensors

Writes annotation.npz and annotation.json beside the images, and a page in annotation/. lambda itself (Eq. 11) is
computed where it is used, so that another scale s needs no other annotation. What each number means: docs/generated.md.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from pipeline.encoders.options import FORMS, AnnotateOptions, check_numbers, parse_encoder
from pipeline.runs.command import say
from pipeline.runs.host_tuning import tune_host


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code: 2 for a user's mistake, reported in one line by rank 0."""
    given = _parser().parse_args(arguments)
    try:
        options = _options(given)
        tune_host()  # before torch loads the libraries that read it
        from pipeline.encoders.annotate_groups import launch  # torch: seconds that --help and a typo need not wait for

        for line in launch(options):
            say(line)
    except (ValueError, OSError) as error:  # an OSError names its file
        say(f"annotate.py: {error}", error=True)
        return 2
    return 0


def _options(given: argparse.Namespace) -> AnnotateOptions:
    options = AnnotateOptions(
        folder=given.folder,
        encoder=parse_encoder(given.encoder),
        data=given.data or given.folder.parent,
        labels=given.labels,
        temperature=given.temperature,
        scale=given.scale,
        batch=given.batch,
        threads=given.threads,
    )
    check_numbers(options)
    return options


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="annotate.py", description="Annotate generated images by the features of an encoder."
    )
    parser.add_argument("folder", type=Path, metavar="DATA/NAME-csm", help="a data folder of packed groups")
    parser.add_argument("--encoder", required=True, help=FORMS)
    parser.add_argument("--data", type=Path, help="folder that holds the data set itself (DATA)")
    parser.add_argument(
        "--labels",
        metavar="SPLIT",
        help="labelled images that prototypes are means of: all, or the name of a split such as 4-seed0 (those that "
        "the run was trained on; all with clip and timm)",
    )
    parser.add_argument(
        "--temperature", type=float, default=0.01, help="of the zero-shot distribution of clip and timm (0.01)"
    )
    parser.add_argument("--scale", type=float, default=4.0, metavar="S", help="s of the lambdas shown on the page (4)")
    parser.add_argument("--batch", type=int, default=256, metavar="N", help="images a rank reads at once (256)")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads a rank (cores / ranks of this machine)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
