"""How a run dies: the first rank that fails says why, once; the others follow it within seconds."""

import os
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from pipeline.distributed import Ranks
from pipeline.runs.lock import RunLock

KEY = "failed"
GRACE_SECONDS = 5.0


class RunError(Exception):
    """What ends a run though nothing is wrong with the program; its one line says all.

    ``details``: more for status.json.
    """

    def __init__(self, line: str, **details: Any) -> None:
        super().__init__(line)
        self.details = details


class Written(Protocol):
    """A folder that one process at a time writes, such as a run's."""

    @property
    def lock(self) -> RunLock:
        """Held by rank 0."""
        ...

    def fail(self, error: str, **details: Any) -> None:
        """Notes that its writing failed."""
        ...


def report(error: Exception, ranks: Ranks, folder: Written) -> None:
    """Called by every rank that fails; those after the first fail because of it, and say nothing.

    Returns for a single rank alone: one of many ends here.
    """
    if _is_first(ranks):
        if isinstance(error, RunError):
            print(f"error: {error}", file=sys.stderr, flush=True)
            folder.fail(str(error), **error.details)
        else:
            traceback.print_exception(error)
            folder.fail(traceback.format_exception_only(error)[-1].strip())
    if ranks.world > 1:
        _leave()


@contextmanager
def following_failures(ranks: Ranks) -> Iterator[None]:
    """Ends this process soon after another rank has failed, also where it waits for that rank in a collective.

    A dead peer ends gloo's collectives at once, but NCCL's may wait for half an hour.
    """
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(1):
            if _has_failed(ranks):
                if not ended.wait(GRACE_SECONDS):
                    _leave()
                return

    thread = threading.Thread(target=watch, daemon=True, name="failures")
    if ranks.world > 1:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        if ranks.world > 1:
            thread.join(GRACE_SECONDS)  # the interpreter aborts where it ends while a thread is inside the store


def _leave() -> None:
    """Without the exit handlers of a broken process group: they wait for ranks that are gone, or abort."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(1)


def _is_first(ranks: Ranks) -> bool:
    try:
        return ranks.store.add(KEY, 1) == 1
    except RuntimeError:  # the store has gone with the process that held it
        return True


def _has_failed(ranks: Ranks) -> bool:
    try:
        return ranks.store.check([KEY])
    except RuntimeError:
        return False
