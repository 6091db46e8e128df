"""A pool of processes that bounds memory, tells how far it is and never hangs on a dead worker."""

import multiprocessing
import os
import signal
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from multiprocessing import connection
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, TypeVar

Result = TypeVar("Result")
CHUNK = 256  # entries a task: large against its overhead, small against memory
TICK = 0.5  # seconds between two looks at the workers' progress
_counts: Connection | None = None  # in a worker: where it reports


class WorkerDied(RuntimeError):
    """A worker process ended without a result (killed, or out of memory)."""


def chunks(items: list[Any]) -> Iterator[list[Any]]:
    """Consecutive stretches of at most CHUNK items."""
    for start in range(0, len(items), CHUNK):
        yield items[start : start + CHUNK]


class Workers:
    """`number` processes for the length of a `with` block.

    They start from a fork server: a fork of this process could inherit locked locks of its threads.
    On an error they end at once, whatever they are at; when this process is killed, too.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        context = multiprocessing.get_context("forkserver")
        # Workers watch their end of a pipe; ours closes on purpose or with this process.
        theirs, self._ours = context.Pipe(duplex=False)
        # A pipe, not a shared counter: a worker killed while it holds the counter's lock would stop them all.
        self._counts, counts = context.Pipe(duplex=False)
        self._pool = ProcessPoolExecutor(number, context, initializer=_begin, initargs=(theirs, counts))
        for _ in range(number):
            self._pool.submit(_start_up)

    def __enter__(self) -> "Workers":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._ours.close()
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._ours.close()

    def map(
        self,
        function: Callable[..., Result],
        tasks: Iterable[tuple[Any, ...]],
        progress: Callable[[int], None] = lambda count: None,
    ) -> Iterator[Result]:
        """Yield function(*task) of each of `tasks` as they finish, at most two tasks per worker ahead.

        progress(n) is told, twice a second, of n more things the workers have reported.
        Raises WorkerDied within seconds of a worker's death.
        """
        waiting: set[Future[Result]] = set()
        tasks = iter(tasks)
        try:
            waiting |= {self._pool.submit(function, *task) for task in islice(tasks, 2 * self.number)}
            while waiting:
                finished, waiting = wait(waiting, timeout=TICK, return_when=FIRST_COMPLETED)
                waiting |= {self._pool.submit(function, *task) for task in islice(tasks, len(finished))}
                progress(self._reported())
                for future in finished:
                    yield future.result()
        except BrokenProcessPool as error:
            raise WorkerDied(
                "a worker process died (killed, or out of memory); finished parts are kept, run the same command "
                "again, if need be with fewer --workers"
            ) from error
        finally:
            for future in waiting:
                future.cancel()

    def _reported(self) -> int:
        count = 0
        while self._counts.poll():
            count += int.from_bytes(self._counts.recv_bytes(), "little")
        return count


def report(count: int) -> None:
    """Called in a worker: `count` more things are done. A short message is written to a pipe whole or not at all."""
    if _counts is not None:
        _counts.send_bytes(count.to_bytes(4, "little"))


def _start_up() -> None:
    from dataprep import parts  # noqa: F401 (what workers need, imported before it is needed)


def _begin(pipe: Connection, counts: Connection) -> None:
    """Set up a worker: Ctrl-C is the parent's affair, and a worker ends when its parent says so or dies."""
    global _counts
    _counts = counts
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    warnings.simplefilter("ignore")  # PIL's remarks on odd EXIF data; real faults become rejects
    threading.Thread(target=_end_with, args=(pipe,), daemon=True).start()


def _end_with(pipe: Connection) -> None:
    # The executor's own queue stays open in its workers: without this they outlive a killed parent for ever.
    connection.wait([pipe])
    os._exit(1)
