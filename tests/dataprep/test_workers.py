"""The pool of worker processes: what a worker has loaded, and what happens when one dies."""

import os
import signal
import time
from collections.abc import Iterator
from multiprocessing import forkserver

import pytest

from dataprep.command.build import WORKERS_RUN
from dataprep.workers import WorkerDied, WorkerPool, chunks
from tests.support.dataprep_fixtures import make
from tests.support.encoding_runs import PATIENCE, EncodingRun, own_workers, when
from tests.support.worker_tasks import leave, loaded_modules, square_of


def test_workers_have_loaded_what_they_run_and_nothing_slow() -> None:
    forkserver._forkserver._stop()  # type: ignore[attr-defined]  # another test's has loaded what that one runs
    reported: list[int] = []
    with WorkerPool(1, preload=WORKERS_RUN) as pool:
        names = (WORKERS_RUN, "PIL.Image", "ffcv", "numba", "torch", "torchvision", "sklearn", "scipy")
        [(pid, found)] = pool.map(loaded_modules, [names], reported.append)
    assert found == [WORKERS_RUN, "PIL.Image"] and pid != os.getpid()
    assert sum(reported) == 3


def test_results_in_order_are_bounded() -> None:
    """The first takes longest; however slowly results are taken, at most five tasks are begun before."""
    begun: list[int] = []

    def tasks() -> Iterator[tuple[int, float]]:
        for number in range(20):
            begun.append(number)
            yield number, 0.2 if number == 0 else 0

    taken = 0
    with WorkerPool(2, preload=WORKERS_RUN) as pool:
        for number, result in enumerate(pool.map_in_order(square_of, tasks(), ahead=5)):
            assert result == number**2
            taken += 1
            assert len(begun) <= taken + 5
        with pytest.raises(WorkerDied, match="what is done is kept: run the same command again"):
            list(pool.map_in_order(leave, [()], ahead=1))
    assert taken == 20


def test_chunks() -> None:
    assert [len(chunk) for chunk in chunks(list(range(600)))] == [256, 256, 88]


def test_a_killed_worker_is_an_error(run: EncodingRun, capsys: pytest.CaptureFixture[str]) -> None:
    killed: list[float] = []

    def kill() -> None:
        os.kill(own_workers()[0], signal.SIGKILL)
        killed.append(time.monotonic())

    run.hold()
    when(run.is_held, kill)
    assert make(*run.words()) == 1
    assert time.monotonic() - killed[0] < PATIENCE / 2, "the run went on only when its workers were released"
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "a worker process died" in error and "finished parts are kept" in error
    assert len(run.finished()) >= 2 and not (run.out / "folder").exists()
