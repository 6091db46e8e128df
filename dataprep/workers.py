"""A pool of processes that keeps order, bounds memory and never hangs on a dead worker."""

import multiprocessing
import os
import signal
import threading
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from multiprocessing import connection
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, TypeVar

Result = TypeVar("Result")
CHUNK = 256  # entries a task: large against its overhead, small against memory


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
        self._pool = ProcessPoolExecutor(number, context, initializer=_begin, initargs=(theirs,))

    def __enter__(self) -> "Workers":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._ours.close()
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._ours.close()

    def map(self, function: Callable[..., Result], tasks: Iterable[tuple[Any, ...]]) -> Iterator[Result]:
        """Yield function(*task) in the order of `tasks`, at most two tasks per worker ahead.

        Raises WorkerDied within seconds of a worker's death.
        """
        waiting: deque[Future[Result]] = deque()
        tasks = iter(tasks)
        try:
            for task in islice(tasks, 2 * self.number):
                waiting.append(self._pool.submit(function, *task))
            while waiting:
                result = waiting.popleft().result()
                for task in islice(tasks, 1):
                    waiting.append(self._pool.submit(function, *task))
                yield result
        except BrokenProcessPool as error:
            raise WorkerDied(
                "a worker process died (killed, or out of memory); nothing was kept, try again with fewer --workers"
            ) from error
        finally:
            for future in waiting:
                future.cancel()


def _begin(pipe: Connection) -> None:
    """Set up a worker: Ctrl-C is the parent's affair, and a worker ends when its parent says so or dies."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    warnings.simplefilter("ignore")  # PIL's remarks on odd EXIF data; real faults become rejects
    threading.Thread(target=_end_with, args=(pipe,), daemon=True).start()


def _end_with(pipe: Connection) -> None:
    # The executor's own queue stays open in its workers: without this they outlive a killed parent for ever.
    connection.wait([pipe])
    os._exit(1)
