"""What the jobs of a run leave in its folder, beside the trainer's own files.

``job.json``: the job that was submitted last. ``jobs.jsonl``: a line for every start and end of a job.
``train.log``, ``train.rank1.log`` ...: what the ranks printed.
"""

import dataclasses
import json
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pipeline.runs.checkpoints import last_saved_step
from pipeline.runs.files import json_lines, read_json, tail, write_atomically
from pipeline.runs.read import read_status

STOPS = ("preempted", "crashed", "lost")  # ends after which the run resumes; "lost": the job was killed outright
ENDS = ("finished", "failed", *STOPS)
LOG_TAIL = 8192  # bytes

Record = TypeVar("Record", "JobRecord", "Event")


@dataclass(frozen=True)
class JobRecord:
    """job.json: what to look for in the queue, and where a number came from."""

    job: str = ""  # its id
    name: str = ""
    cluster: str = ""
    submission: str = ""  # folder
    commit: str = ""
    code: str = ""  # folder of the snapshot
    split_sha256: str | None = None
    time: float = 0.0


@dataclass(frozen=True)
class Event:
    """One line of jobs.jsonl: "start", or one of ENDS at the run's newest checkpoint."""

    event: str
    job: str = ""
    restart: int = 0
    step: int = 0
    code: int = 0  # exit code of the trainer
    host: str = ""
    time: float = 0.0


def write_job(run: Path, job: JobRecord) -> None:
    """Replaces job.json."""
    write_atomically(run / "job.json", json.dumps(dataclasses.asdict(job), indent=1))


def last_job(run: Path) -> JobRecord | None:
    """The job that was submitted last for this run."""
    content = read_json(run / "job.json")
    return _record(JobRecord, content) if content else None


def append_event(run: Path, event: str, job: str, restart: int, step: int = 0, code: int = 0) -> None:
    """Adds a line to jobs.jsonl."""
    line = Event(event, job, restart, step, code, socket.gethostname(), time.time())
    run.mkdir(parents=True, exist_ok=True)
    with (run / "jobs.jsonl").open("a") as file:
        file.write(json.dumps(dataclasses.asdict(line)) + "\n")


def events(run: Path) -> list[Event]:
    """All lines of jobs.jsonl, oldest first; one that a kill cut short is left out."""
    return [_record(Event, line) for line in json_lines(tail(run / "jobs.jsonl"))]


def close_last_start(run: Path) -> None:
    """Records how the last job ended where it was killed before it could do so. Called before another one starts."""
    last = next(reversed(events(run)), None)
    if last and last.event == "start":
        end = "preempted" if read_status(run).state == "preempted" else "lost"
        append_event(run, end, last.job, last.restart, last_saved_step(run / "checkpoints"))


def crashes_at(run: Path, step: int) -> int:
    """How often in a row the run has crashed with ``step`` as its newest checkpoint, so without any progress."""
    count = 0
    for event in reversed([e for e in events(run) if e.event in ENDS]):
        if event.event != "crashed" or event.step != step:
            break
        count += 1
    return count


def stops(run: Path) -> dict[str, int]:
    """How often the run was preempted, has crashed and was lost."""
    kinds = [event.event for event in events(run)]
    return {kind: kinds.count(kind) for kind in STOPS}


def last_error(run: Path) -> str:
    """Why the run ended, in one line: the error that the trainer reports, or the last line of a rank's log.

    Of several ranks the first that reports an error: the others fail because it is gone.
    """
    status = read_status(run)
    if status.state == "failed" and status.error:
        return status.error
    logs = sorted(run.glob("train*.log"), key=lambda path: path.stat().st_mtime)
    lines = [text[-1].strip() for path in logs if (text := tail(path, LOG_TAIL).strip().splitlines())]
    errors = [line for line in lines if "error" in line.lower()]
    return next(iter(errors or lines), "no log")


def _record(kind: type[Record], content: dict[str, Any]) -> Record:
    """A record of those fields that it knows."""
    return kind(**{field.name: content[field.name] for field in dataclasses.fields(kind) if field.name in content})
