"""Something for a worker to do; a file that imports nothing slow."""

import os
import sys
import time

from dataprep.workers import report


def loaded_modules(*names: str) -> tuple[int, list[str]]:
    """The worker's process id, and which of the modules it has loaded; reports 3 things done."""
    report(3)
    return os.getpid(), [name for name in names if name in sys.modules]


def square_of(number: int, seconds: float) -> int:
    """After a while."""
    time.sleep(seconds)
    return number**2


def leave() -> None:
    """Dies without a word."""
    os._exit(3)
