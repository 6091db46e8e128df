"""Where each run of a grid stands, from run folders and squeue alone."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from slurm import runs
from slurm.grid import Cell

Queue = Mapping[tuple[str, str], tuple[str, str]]
OPEN = ("missing", "preempted", "failed")  # what a submission starts
ORDER = ("done", "running", "pending", *OPEN)


@dataclass(frozen=True)
class Situation:
    """``kind`` is one of ORDER; ``detail`` says the rest in a few words."""

    kind: str
    step: int
    steps: int
    detail: str


def situation(cell: Cell, queue: Queue) -> Situation:
    """Of one run; ``queue`` is cluster.queue()."""
    state = runs.read(cell.folder)
    kind, detail = _kind(cell, state, queue)
    stops = ", ".join(f"{what} {count}x" for what, count in runs.interruptions(cell.folder).items() if count)
    step = runs.last_training_line(cell.folder).get("step", 0) if kind == "running" else 0
    detail = "; ".join(part for part in (detail, stops) if part)
    return Situation(kind, max(step, state.step), cell.config.steps, detail)


def _kind(cell: Cell, state: runs.RunState, queue: Queue) -> tuple[str, str]:
    run = cell.folder
    if (result := runs.result(run)) is not None:
        return "done", f"error {result['error']:.2f}  ECE {result['ece']:.2f}"
    queued = queue.get(submitted_as(run))
    if queued and queued[0] == "PENDING":
        return "pending", queued[1]
    if queued or runs.is_locked(run):
        return "running", remaining(cell)
    last = next((e["event"] for e in reversed(runs.events(run)) if e["event"] != "start"), "")
    if last != "failed" and "preempted" in {state.status, last}:
        return "preempted", "submit again to go on"
    if last == "failed" or state.status:
        return "failed", runs.last_error(run)
    if (run / "job.json").exists():
        return "failed", f"job {submitted_as(run)[1]} is gone and never trained"
    return "missing", "not submitted"


def submitted_as(run: Path) -> tuple[str, str]:
    """(name, id) of the job that was submitted last for this run; ids alone begin again at 1 on a new cluster."""
    job = runs.read_json(run / "job.json")
    return job.get("name", ""), job.get("job", "")


def remaining(cell: Cell) -> str:
    """Time to the end at the last rate, as "left 1:02:03"."""
    line = runs.last_training_line(cell.folder)
    if not line.get("images_per_second"):
        return "starting"
    images = (cell.config.batch.labelled + cell.config.unlabelled_batch) * (cell.config.steps - line["step"])
    minutes, seconds = divmod(round(images / line["images_per_second"]), 60)
    hours, minutes = divmod(minutes, 60)
    return f"left {hours}:{minutes:02d}:{seconds:02d}"
