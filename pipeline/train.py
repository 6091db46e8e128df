"""Trains one run: ``python pipeline/train.py --config configs/digits.yaml``, on one GPU or the CPU.

Ranks on all GPUs: ``torchrun --standalone --nproc_per_node=gpu pipeline/train.py ...``. Any option: ``--set a.b=c``;
all options: ``--help``. Starting in a run folder that holds a checkpoint resumes it; a finished run ends at once. The
loop: training/loop.py.
"""

import sys
from collections.abc import Sequence

from pipeline import config as configuration
from pipeline.config import Config
from pipeline.runs.command import options_parser, run_command


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code: 2 for a user's mistake, reported in one line by rank 0."""
    parser = options_parser("Train one run.", configuration.describe())
    return run_command(arguments, parser, configuration.load, _launch)


def _launch(config: Config) -> int:
    from pipeline.training.launch import launch  # slow to import

    return launch(config)


if __name__ == "__main__":
    sys.exit(main())
