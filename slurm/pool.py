"""Without SLURM: the same jobs on this machine, as many at a time as there are GPUs or cores for."""

import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import submitit

from pipeline.runs.host_tuning import cores
from slurm import runs
from slurm.cluster import Resources
from slurm.grid import Cell
from slurm.submission import Submission

YEAR = 525_600  # minutes: nothing times out here
POLL_SECONDS = 0.2
PATIENCE = 60  # seconds for a checkpoint after Ctrl-C

Say = Callable[[str], None]


def slots(wanted: Resources, most: int) -> list[tuple[int, ...]]:
    """The GPUs of each place for a cell, () where a cell uses none."""
    if wanted.gpus:
        devices = visible_gpus()
        places = [tuple(devices[i : i + wanted.gpus]) for i in range(0, len(devices), wanted.gpus)]
        return [place for place in places if len(place) == wanted.gpus][:most]
    count = cores() // (wanted.tasks * wanted.cpus)
    return [()] * max(1, min(count, most))


def visible_gpus() -> list[int]:
    """The numbers of this machine's CUDA devices that may be used."""
    import torch  # here, as only this needs it

    named = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
    count = torch.cuda.device_count()
    return [int(name) for name in named if name.strip().isdigit()][:count] or list(range(count))


def run(submission: Submission, cells: Sequence[Cell], places: Sequence[tuple[int, ...]], say: Say) -> int:
    """Runs all; returns the exit code: 0, 1 where one failed, 130 after Ctrl-C (then all go on with the same call)."""
    waiting, free, failed = list(cells), list(places), 0
    running: dict[Cell, tuple[Any, tuple[int, ...]]] = {}
    try:
        while waiting or running:
            while waiting and free:
                cell, place = waiting.pop(0), free.pop()
                running[cell] = _start(submission, cell, place), place
                say(f"started   {cell.folder}")
            for cell, (_, place) in [entry for entry in running.items() if entry[1][0].done()]:
                del running[cell]
                free.append(place)
                again, text = _outcome(cell)
                say(text)
                waiting += [cell] * again
                failed += not again and runs.result(cell.folder) is None
            time.sleep(POLL_SECONDS)
    except KeyboardInterrupt:
        _stop([job for job, _ in running.values()], say)
        return 130
    return 1 if failed else 0


def _start(submission: Submission, cell: Cell, place: tuple[int, ...]) -> Any:
    executor = submitit.LocalExecutor(submission.folder / "jobs")
    tasks = submission.options.resources.tasks
    executor.update_parameters(
        tasks_per_node=tasks, gpus_per_node=len(place), visible_gpus=place, timeout_min=YEAR, signal_delay_s=0
    )
    job = submission.job(cell)
    with _environment(PYTHONPATH=str(job.code), PYTHONSAFEPATH="1"), _deaf_to_the_terminal():
        started = executor.submit(job)
    submission.record(cell, "local", started.job_id)
    return started


def _outcome(cell: Cell) -> tuple[bool, str]:
    """(run it again, a line about it) of a job that ended."""
    if (result := runs.result(cell.folder)) is not None:
        return False, f"finished  {cell.folder}: error {result['error']:.2f}  ECE {result['ece']:.2f}"
    event = runs.events(cell.folder)[-1]["event"]
    if event in {"preempted", "crashed"}:
        return True, f"{event:<9} {cell.folder}: goes on"
    return False, f"failed    {cell.folder}: {runs.last_error(cell.folder)}"


def _stop(jobs: Sequence[Any], say: Say) -> None:
    say("stopping: each run saves its state; the same command goes on")
    for job in jobs:
        job._process.send_signal(signal.SIGTERM)
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and not all(job.done() for job in jobs):
        time.sleep(POLL_SECONDS)
    for job in jobs:
        if not job.done():
            job._process.kill()  # the ranks end with their parent


@contextmanager
def _environment(**values: str) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextmanager
def _deaf_to_the_terminal() -> Iterator[None]:
    """submitit's helper would kill its tasks a second after Ctrl-C; what is started here ignores it, as inherited."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def debug(submission: Submission, cells: Sequence[Cell], say: Say) -> int:
    """One cell after another in this terminal, up to the first that does not finish."""
    for cell in cells:
        say(f"started   {cell.folder}")
        job = submission.job(cell, echo=True)
        submission.record(cell, "debug", f"pid-{os.getpid()}")
        try:
            verdict = job()
        except RuntimeError as error:
            say(f"failed    {error}")
            return 1
        if verdict != "finished":
            say(f"{verdict}: the same command goes on")
            return 130
    return 0
