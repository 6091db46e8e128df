"""Without SLURM: the same jobs on this machine, as many at a time as its GPUs or cores allow.

With ``per_gpu`` so many on each GPU side by side, in processes of their own: what ends one leaves the others alone.
"""

import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import submitit

from pipeline.runs.host_tuning import cores
from pipeline.runs.read import finished_result, is_finished
from slurm.grids.grid import Cell
from slurm.jobs.gpus import visible_gpus
from slurm.jobs.history import events, last_error
from slurm.jobs.resources import Resources
from slurm.jobs.submission import Submission

YEAR = 525_600  # minutes: nothing times out here
POLL_SECONDS = 0.2
PATIENCE = 60  # seconds for a checkpoint after Ctrl-C

Slot = tuple[int, ...]  # the GPUs of a cell that runs, () where it uses none
Say = Callable[[str], None]


def find_slots(wanted: Resources, maximum: int) -> list[Slot]:
    """Room for cells to run at a time, ``maximum`` at most; none where a cell needs more GPUs than there are."""
    if wanted.gpus:
        devices = visible_gpus()
        groups = [tuple(devices[i : i + wanted.gpus]) for i in range(0, len(devices), wanted.gpus)]
        whole = [group for group in groups if len(group) == wanted.gpus]
        return (whole * wanted.per_gpu)[:maximum]
    count = cores() // (wanted.tasks * wanted.cpus)
    return [()] * max(1, min(count, maximum))


def run(submission: Submission, cells: Sequence[Cell], slots: Sequence[Slot], say: Say) -> int:
    """Runs all cells; returns the exit code: 0, 1 where one failed, 130 after Ctrl-C (the same call resumes them)."""
    waiting, free, failed = list(cells), list(slots), 0
    running: dict[Cell, tuple[Any, Slot]] = {}
    try:
        while waiting or running:
            while waiting and free:
                cell, slot = waiting.pop(0), max(free, key=free.count)  # on the GPU with the most room
                free.remove(slot)
                running[cell] = _start(submission, cell, slot), slot
                say(f"started   {cell.folder}")
            for cell, (_, slot) in [entry for entry in running.items() if entry[1][0].done()]:
                del running[cell]
                free.append(slot)
                again, text = _outcome(cell)
                say(text)
                waiting += [cell] * again
                failed += not again and not is_finished(cell.folder)
            time.sleep(POLL_SECONDS)
    except KeyboardInterrupt:
        _stop([job for job, _ in running.values()], say)
        return 130
    return 1 if failed else 0


def _start(submission: Submission, cell: Cell, slot: Slot) -> Any:
    executor = submitit.LocalExecutor(submission.folder / "jobs")
    tasks = submission.options.resources.tasks
    executor.update_parameters(
        tasks_per_node=tasks, gpus_per_node=len(slot), visible_gpus=slot, timeout_min=YEAR, signal_delay_s=0
    )
    job = submission.job(cell)
    with _environment(PYTHONPATH=str(job.code), PYTHONSAFEPATH="1"), _ignoring_ctrl_c():
        started = executor.submit(job)
    submission.record(cell, "local", started.job_id)
    return started


def _outcome(cell: Cell) -> tuple[bool, str]:
    """(whether to run it again, a line about it) of a job that has ended."""
    if (result := finished_result(cell.folder)) is not None:
        return False, f"finished  {cell.folder}: error {result.error:.2f}  ECE {result.ece:.2f}"
    end = events(cell.folder)[-1].event
    if end in {"preempted", "crashed"}:
        return True, f"{end:<9} {cell.folder}: resumes"
    return False, f"failed    {cell.folder}: {last_error(cell.folder)}"


def _stop(jobs: Sequence[Any], say: Say) -> None:
    say("stopping: each run saves its state; the same command resumes them")
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
def _ignoring_ctrl_c() -> Iterator[None]:
    """submitit's helper would kill its tasks a second after Ctrl-C; a process that is started here ignores it."""
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
            say(f"{verdict}: the same command resumes it")
            return 130
    return 0
