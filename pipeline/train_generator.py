"""Trains a generator: ``python pipeline/train_generator.py --config configs/generator_digits.yaml``, on GPU or CPU.

Ranks on all GPUs: ``torchrun --standalone --nproc_per_node=gpu pipeline/train_generator.py ...``. Any option:
``--set a.b=c``; all options: ``--help``. Starting in a run folder that holds a checkpoint resumes it; a finished run
ends at once. The loop: generator/train_loop.py. What comes next: pipeline/generate.py.
"""

import sys
from collections.abc import Sequence

from pipeline.config import generator
from pipeline.config.generator import GeneratorConfig
from pipeline.runs.command import options_parser, run_command


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code: 2 for a user's mistake, reported in one line by rank 0."""
    parser = options_parser("Train a class-conditional diffusion model.", generator.SCHEMA.describe())
    return run_command(arguments, parser, generator.load, _launch)


def _launch(config: GeneratorConfig) -> int:
    from pipeline.generator.train_loop import launch  # slow to import

    return launch(config)


if __name__ == "__main__":
    sys.exit(main())
