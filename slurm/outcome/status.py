"""Where each run of a grid stands, from run folders and squeue alone."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.runs.lock import live_owner
from pipeline.runs.read import finished_result, last_training_line, read_status
from slurm.grids.grid import Cell
from slurm.jobs.cluster import Queue
from slurm.jobs.history import JobRecord, events, last_error, last_job, stops

STARTABLE = ("missing", "preempted", "failed")  # what a submission starts
STATES = ("done", "running", "pending", *STARTABLE)


@dataclass(frozen=True)
class RunStatus:
    """``state`` is one of STATES; ``detail`` explains it in a few words."""

    state: str
    step: int
    steps: int
    detail: str


def run_status(cell: Cell, queue: Queue) -> RunStatus:
    """The status of one run; ``queue`` is cluster.queue(). ValueError where its result.json is broken."""
    state, detail = _state(cell, queue)
    said = read_status(cell.folder)
    step = said.step
    if state == "running" and (line := last_training_line(cell.folder)):
        step = max(step, line.step)
    stopped = ", ".join(f"{kind} {count}x" for kind, count in stops(cell.folder).items() if count)
    return RunStatus(
        state, step, said.steps or cell.config.steps, "; ".join(part for part in (detail, stopped) if part)
    )


def summary(found: Sequence[RunStatus]) -> str:
    """As "6 runs: 2 done, 4 pending"."""
    counts = Counter(status.state for status in found)
    return f"{len(found)} runs: " + ", ".join(f"{counts[state]} {state}" for state in STATES if counts[state])


def _state(cell: Cell, queue: Queue) -> tuple[str, str]:
    """(state, detail)."""
    run = cell.folder
    if (result := finished_result(run)) is not None:
        return "done", f"error {result.error:.2f}  ECE {result.ece:.2f}"
    job = last_job(run)
    queued = queue.get((job.name, job.job)) if job else None
    if queued and queued.state == "PENDING":
        return "pending", queued.reason
    if queued or live_owner(run):
        return "running", _remaining(cell)
    return _stopped(cell, job)


def _stopped(cell: Cell, job: JobRecord | None) -> tuple[str, str]:
    """(state, detail) of a run that neither is finished nor runs nor waits."""
    run, trainer = cell.folder, read_status(cell.folder).state
    last_end = next((event.event for event in reversed(events(run)) if event.event != "start"), "")
    if last_end != "failed" and "preempted" in {trainer, last_end}:
        return "preempted", "submit again to resume"
    if last_end == "failed" or trainer:
        return "failed", last_error(run)
    if job:
        return "failed", f"job {job.job} is gone and never trained"
    return "missing", "not submitted"


def _remaining(cell: Cell) -> str:
    """Time to the end at the latest rate, as "left 1:02:03"."""
    line = last_training_line(cell.folder)
    if line is None or not line.images_per_second:
        return "starting"
    steps = read_status(cell.folder).steps or cell.config.steps
    images = cell.config.images_per_step * (steps - line.step)
    minutes, seconds = divmod(round(images / line.images_per_second), 60)
    hours, minutes = divmod(minutes, 60)
    return f"left {hours}:{minutes:02d}:{seconds:02d}"
