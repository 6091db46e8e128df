"""The trainer, whose rank 1 raises an error when it is sent SIGUSR1."""

import os
import signal
import sys

from pipeline import train


def explode(*_: object) -> None:
    raise ArithmeticError("rank 1 has had enough")


if __name__ == "__main__":
    if os.environ["RANK"] == "1":
        signal.signal(signal.SIGUSR1, explode)
    sys.exit(train.main())
