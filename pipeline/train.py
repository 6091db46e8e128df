"""Trains one run: ``python pipeline/train.py --config configs/digits.yaml``, on one GPU or the CPU.

Ranks on all GPUs: ``torchrun --standalone --nproc_per_node=gpu pipeline/train.py ...``. Any option: ``--set a.b=c``;
all options: ``--help``. Starting in a run folder that holds a checkpoint resumes it; a finished run ends at once. The
loop: training/loop.py.
"""

import argparse
import os
import sys
from collections.abc import Sequence

from pipeline import config as configuration
from pipeline.runs.folder import RunFolder
from pipeline.runs.host_tuning import tune_host


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code: 2 for a user's mistake, reported in one line by rank 0."""
    given = _parser().parse_args(arguments)
    try:
        config = configuration.load(given.config, given.set)
        folder = RunFolder(config)
        if folder.is_finished:
            folder.check()
            _say(f"{folder.path}: finished already; nothing to do (result.json)")
            return 0
        tune_host()  # before torch loads the libraries that read it
        from pipeline.training.launch import launch  # torch and FFCV: seconds that --help and a typo need not wait for

        return launch(config)
    except ValueError as error:
        _say(f"error: {error}", error=True)
        return 2


def _say(text: str, error: bool = False) -> None:
    rank = os.environ.get("RANK", 0)
    if error:  # it may be one of this machine alone, such as too few GPUs
        rank = os.environ.get("LOCAL_RANK", rank)
    if int(rank) == 0:
        print(text, file=sys.stderr if error else sys.stdout)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description="Train one run.",
        epilog="options of --config and --set:\n" + configuration.describe(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--config", help="YAML file of options")
    parser.add_argument(
        "--set", nargs="+", action="extend", default=[], metavar="a.b=c", help="options that override the file's"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
