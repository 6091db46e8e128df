"""A cell's run folder, read: what state it is in. Beside the trainer's files lie those of the jobs that ran it.

``job.json``: the job that was submitted last. ``jobs.jsonl``: a line for every start and end of a job.
``train.log``, ``train.rank1.log`` ...: what the ranks printed.
"""

import json
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.runs.checkpoints import last_saved_step
from pipeline.runs.lock import live_owner

ENDS = {"finished", "failed", "preempted", "crashed", "lost"}


@dataclass(frozen=True)
class RunState:
    """``status`` is the trainer's word (running, preempted, finished, failed), or "" where it never ran."""

    status: str
    step: int
    steps: int
    finished: bool


def read(run: Path) -> RunState:
    """The state in status.json; finished is what result.json says by being there."""
    status = read_json(run / "status.json")
    finished = (run / "result.json").is_file()
    return RunState(status.get("state", ""), status.get("step", 0), status.get("steps", 0), finished)


def result(run: Path) -> dict[str, Any] | None:
    """result.json, or None while there is none."""
    return read_json(run / "result.json") or None


def saved_step(run: Path) -> int:
    """The step of the newest checkpoint, 0 where there is none."""
    return last_saved_step(run / "checkpoints")


def is_locked(run: Path) -> bool:
    """A live trainer is writing this folder."""
    return live_owner(run) is not None


def append_event(run: Path, event: str, job: str, restart: int, step: int = 0, code: int = 0) -> None:
    """One line of jobs.jsonl."""
    line = {"event": event, "job": job, "restart": restart, "step": step, "code": code}
    run.mkdir(parents=True, exist_ok=True)
    with (run / "jobs.jsonl").open("a") as file:
        file.write(json.dumps({**line, "host": socket.gethostname(), "time": time.time()}) + "\n")


def events(run: Path) -> list[dict[str, Any]]:
    """All lines of jobs.jsonl, oldest first; one that a kill cut short is left out."""
    return _lines(run / "jobs.jsonl")


def settle(run: Path) -> None:
    """Gives the last start its end, where it was killed before it could say so itself. Called before another start."""
    last = next(reversed(events(run)), None)
    if last and last["event"] == "start":
        event = "preempted" if read(run).status == "preempted" else "lost"
        append_event(run, event, last["job"], last["restart"], saved_step(run))


def crashes_here(run: Path, step: int) -> int:
    """How often in a row the run has crashed with ``step`` as its newest checkpoint: with no progress in between."""
    count = 0
    for event in reversed([e for e in events(run) if e["event"] in ENDS]):
        if event["event"] != "crashed" or event["step"] != step:
            break
        count += 1
    return count


def interruptions(run: Path) -> dict[str, int]:
    """How often the run was preempted (by whomever), crashed, or was lost without a word."""
    kinds = [event["event"] for event in events(run)]
    return {kind: kinds.count(kind) for kind in ("preempted", "crashed", "lost")}


def last_training_line(run: Path) -> dict[str, Any]:
    """The newest line of metrics.jsonl with a rate; {} where there is none."""
    lines = [line for line in _lines(run / "metrics.jsonl", tail=65536) if "images_per_second" in line]
    return lines[-1] if lines else {}


def last_error(run: Path) -> str:
    """Why the run ended, in a line: the trainer's own word, or the last one of a rank's log.

    Of several ranks the first to complain: the others fail because it is gone.
    """
    status = read_json(run / "status.json")
    if status.get("state") == "failed" and status.get("error"):
        return str(status["error"])
    logs = sorted(run.glob("train*.log"), key=lambda path: path.stat().st_mtime)
    lines = [text[-1].strip() for path in logs if (text := _tail(path, 8192).strip().splitlines())]
    complaints = [line for line in lines if "error" in line.lower()]
    return next(iter(complaints or lines), "no log")


def _lines(path: Path, tail: int | None = None) -> list[dict[str, Any]]:
    found = []
    for line in _tail(path, tail).splitlines():
        try:
            value = json.loads(line)
        except json.JSONDecodeError:
            continue
        if isinstance(value, dict):
            found.append(value)
    return found


def _tail(path: Path, size: int | None) -> str:
    try:
        with path.open("rb") as file:
            if size is not None:
                file.seek(max(0, path.stat().st_size - size))
            return file.read().decode(errors="replace")
    except OSError:
        return ""


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file; {} where there is none."""
    try:
        value = json.loads(path.read_text())
    except (OSError, json.JSONDecodeError):
        return {}
    return value if isinstance(value, dict) else {}
