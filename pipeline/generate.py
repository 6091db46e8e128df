"""Makes groups of images between every two classes with a trained generator, and packs them into a data folder.

    python pipeline/generate.py --generator runs/digits/generator/all/0 --dataset digits --groups 8
    torchrun --standalone --nproc_per_node=gpu pipeline/generate.py --weights FILE --dataset cifar10 --groups 444

A group is one noise under --size conditions, from the one class to the other. What exists is never computed again: the
same command goes on where it was stopped, on any number of ranks. Format and meaning: docs/generated.md.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from pipeline.config.generator import FORMATS
from pipeline.generator.group_options import GroupOptions, check
from pipeline.runs.command import say
from pipeline.runs.host_tuning import tune_host


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code: 2 for a user's mistake, reported in one line by rank 0."""
    given = _parser().parse_args(arguments)
    try:
        options = _options(given)
        check(options)
        tune_host()  # before torch loads the libraries that read it
        from pipeline.generator.make_groups import launch  # torch: seconds that --help and a typo need not wait for

        return launch(options)
    except (ValueError, OSError) as error:  # an OSError names its file
        say(f"error: {error}", error=True)
        return 2


def _options(given: argparse.Namespace) -> GroupOptions:
    return GroupOptions(
        run=given.generator,
        weights=given.weights,
        dataset=given.dataset,
        data=given.data,
        groups=given.groups,
        equal_to=given.equal_to,
        size=given.size,
        steps=given.steps,
        guidance=given.guidance,
        seed=given.seed,
        precision=given.precision,
        micro_batch=given.micro_batch,
        threads=given.threads,
        shards=given.shards or Path(f"runs/{given.dataset}/groups/{given.seed}"),
        out=given.out or Path(given.data) / f"{given.dataset}-csm",
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="generate.py", description="Generate groups of images between every two classes of a data set."
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--generator", type=Path, metavar="RUN", help="a finished run of pipeline/train_generator.py")
    source.add_argument("--weights", type=Path, metavar="FILE", help="weights as EDM names them, .pt or .safetensors")
    parser.add_argument("--dataset", required=True, metavar="NAME", help="the data folder whose classes are mixed")
    parser.add_argument("--data", default="data", help="folder that holds NAME/ (data)")
    amount = parser.add_mutually_exclusive_group(required=True)
    amount.add_argument("--groups", type=int, metavar="N", help="groups for each pair of classes")
    amount.add_argument("--equal-to", type=int, metavar="N", help="as many groups as give about N images in all")
    _add_sampling(parser)
    parser.add_argument("--out", type=Path, help="data folder to make of them (DATA/NAME-csm)")
    parser.add_argument("--shards", type=Path, help="folder of images still to be packed (runs/NAME/groups/SEED)")
    return parser


def _add_sampling(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--size", type=int, default=8, metavar="S", help="images in a group (8)")
    parser.add_argument("--steps", type=int, default=20, metavar="N", help="noise levels of the sampler (20)")
    parser.add_argument(
        "--guidance", type=float, metavar="G", help="classifier-free guidance, of a generator with label_dropout"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the groups' noise (0)")
    parser.add_argument("--precision", choices=FORMATS, default="auto", help="number format of the network (auto)")
    parser.add_argument("--micro-batch", type=int, default=16, metavar="N", help="groups sampled at once (16)")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads a rank (cores / ranks of this machine)")


if __name__ == "__main__":
    sys.exit(main())
