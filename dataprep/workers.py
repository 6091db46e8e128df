"""A pool of processes that bounds memory, reports progress and never hangs on a dead worker."""

import os
import signal
import threading
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from multiprocessing import connection, forkserver, get_context, resource_tracker
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, TypeVar

Result = TypeVar("Result")
CHUNK = 256  # entries per task: many compared with its overhead, few compared with memory
POLL_SECONDS = 0.5  # how often the workers' progress is read
_reports: Connection | None = None  # in a worker: the pipe into which it reports


class WorkerDied(RuntimeError):
    """A worker process ended without a result: it was killed, or ran out of memory."""


def chunks(items: list[Any]) -> Iterator[list[Any]]:
    """Consecutive stretches of at most CHUNK items."""
    for start in range(0, len(items), CHUNK):
        yield items[start : start + CHUNK]


class WorkerPool:
    """`number` processes, for use in a `with` block.

    preload: the module that holds what the workers will run. A fork server imports it once and every worker is a
    fork of that server; forks of this process could inherit locks held by its threads, and all it has imported.
    When the block ends with an error, or this process is killed, the workers exit at once, whatever they are doing.
    """

    def __init__(self, number: int, preload: str) -> None:
        self.number = number
        _start_fork_server(preload)
        context = get_context("forkserver")
        # Workers watch their end of a pipe; ours is closed on purpose, or when this process ends.
        theirs, self._ours = context.Pipe(duplex=False)
        # A pipe, not a shared counter: a worker killed while it holds the counter's lock would block all the others.
        self._reports, reports = context.Pipe(duplex=False)
        self._pool = ProcessPoolExecutor(number, context, initializer=_set_up_worker, initargs=(theirs, reports))

    def __enter__(self) -> "WorkerPool":
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
        """Yield function(*task) for each of `tasks` as they finish; at most two tasks per worker are submitted ahead.

        progress(n) is called twice a second with the number of things the workers have newly reported.
        Raises WorkerDied within seconds of a worker's death.
        """
        pending: set[Future[Result]] = set()
        tasks = iter(tasks)
        try:
            pending |= {self._pool.submit(function, *task) for task in islice(tasks, 2 * self.number)}
            while pending:
                finished, pending = wait(pending, timeout=POLL_SECONDS, return_when=FIRST_COMPLETED)
                pending |= {self._pool.submit(function, *task) for task in islice(tasks, len(finished))}
                progress(self._newly_reported())
                for future in finished:
                    yield future.result()
        except BrokenProcessPool as error:
            raise _died("finished parts are kept") from error
        finally:
            for future in pending:
                future.cancel()

    def map_in_order(
        self, function: Callable[..., Result], tasks: Iterable[tuple[Any, ...]], ahead: int
    ) -> Iterator[Result]:
        """Yield function(*task) for each of `tasks`, in their order; at most `ahead` results wait to be taken.

        Raises WorkerDied as soon as the result of a dead worker would be next.
        """
        pending: deque[Future[Result]] = deque()
        tasks = iter(tasks)
        try:
            pending.extend(self._pool.submit(function, *task) for task in islice(tasks, max(ahead, self.number)))
            while pending:
                result = pending.popleft().result()
                pending.extend(self._pool.submit(function, *task) for task in islice(tasks, 1))
                yield result
        except BrokenProcessPool as error:
            raise _died("what is done is kept") from error
        finally:
            for future in pending:
                future.cancel()

    def _newly_reported(self) -> int:
        count = 0
        while self._reports.poll():
            count += int.from_bytes(self._reports.recv_bytes(), "little")
        return count


def _died(kept: str) -> WorkerDied:
    return WorkerDied(
        f"a worker process died (killed, or out of memory); {kept}: run the same command again, with fewer --workers "
        "if memory is short"
    )


def report(count: int) -> None:
    """In a worker: `count` more things are done. A message this short is written to a pipe whole or not at all."""
    if _reports is not None:
        _reports.send_bytes(count.to_bytes(4, "little"))


def _start_fork_server(preload: str) -> None:
    """Ctrl-C stays blocked in the server and its forks: it is this process that must react to it."""
    forkserver.set_forkserver_preload([preload])
    resource_tracker.ensure_running()  # the server starts it otherwise, and that unblocks the signal
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _set_up_worker(pipe: Connection, reports: Connection) -> None:
    """A worker ignores Ctrl-C, and ends when its parent tells it to or dies."""
    global _reports
    _reports = reports
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    warnings.simplefilter("ignore")  # PIL's remarks on odd EXIF data; unreadable images become rejects
    threading.Thread(target=_exit_with_parent, args=(pipe,), daemon=True).start()


def _exit_with_parent(pipe: Connection) -> None:
    # The executor's queue stays open in its workers, so without this they would outlive a killed parent forever.
    connection.wait([pipe])
    os._exit(1)
