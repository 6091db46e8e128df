"""The commands of generators, which kill themselves in the middle: ``python -m tests.support.dying NAME ...``.

train: at the fifth step, once a checkpoint is on disk. generate: when the first shard is.
"""

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from dataprep.generated import shards
from pipeline import generate, train_generator
from pipeline.generator import train_loop

learn, write_shard = train_loop.learn, shards.write_shard


def learn_or_die(run: Any, inputs: Any, asked: bool) -> Any:
    if inputs[0] == 4:
        while not list(Path(run.config.out).glob("checkpoints/step-*")):
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGKILL)
    return learn(run, inputs, asked)


def write_and_die(*arguments: Any) -> None:
    write_shard(*arguments)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    train_loop.learn, shards.write_shard = learn_or_die, write_and_die
    command = {"train": train_generator.main, "generate": generate.main}[sys.argv[1]]
    sys.exit(command(sys.argv[2:]))
