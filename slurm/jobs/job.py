"""What a job does on its node: runs one rank of the trainer per task, and makes sure that a stopped run resumes.

There is one task per GPU and no torchrun between SLURM and the ranks: SLURM's signals reach every rank directly
(torchrun dies of SIGUSR2), exit codes stay what they are, and each rank is bound to the cores and the GPU of its task.

submitit would requeue from inside its signal handler, while the trainer is still saving, and loses the job where SLURM
has already requeued it. So its handlers are replaced: here a signal is only noted, the trainer handles it itself
(finishes the step, saves, exits 0 with status.json "preempted"), and rank 0 asks for the requeue once it has ended.
"""

import ctypes
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import IO

from pipeline.runs.checkpoints import last_saved_step
from pipeline.runs.read import is_finished, read_status
from slurm.jobs.history import append_event, close_last_start, crashes_at
from slurm.jobs.requeue import requeue
from slurm.jobs.task import Task

PR_SET_PDEATHSIG = 1  # linux/prctl.h
MISTAKE = 2  # the trainer's exit code for a wrong option: trying again cannot help
POLL_SECONDS = 0.2


@dataclass(frozen=True)
class Job:
    """Runs one cell of a grid. submitit pickles it, and calls it in every task and again after every requeue."""

    run: Path  # the run folder
    config: Path  # the cell's resolved options
    code: Path  # the snapshot
    commit: str  # of the checkout that the snapshot was taken from
    signal_delay: int  # seconds between SLURM's warning and the end
    max_crashes: int = 2  # without progress
    echo: bool = False
    per_gpu: int = 1  # runs that share each GPU

    def __call__(self) -> str:
        """What became of the cell: finished, requeued or stopped. RuntimeError where it failed."""
        task, signals = Task.current(), Signals()
        if task.rank == 0:
            self.begin(task)
        code = self._train(task, signals)
        if task.rank:
            return self._end_of_helper(task, code)
        verdict = self.end(task, code, bool(signals.seen))
        if verdict == "failed":
            raise RuntimeError(f"{self.run}: the trainer ended with code {code}; see {self.run / 'train.log'}")
        return verdict if verdict == "finished" else requeue(task)

    def begin(self, task: Task) -> None:
        """Notes the start, and how the job before ended if it could not."""
        close_last_start(self.run)
        append_event(self.run, "start", task.job, task.restart)

    def start(self, task: Task, log: IO[str]) -> "subprocess.Popen[bytes]":
        """The trainer as a process."""
        return subprocess.Popen(
            [sys.executable, str(self.code / "pipeline/train.py"), "--config", str(self.config)],
            env=self._environment(task),
            stdout=None if self.echo else log,
            stderr=None if self.echo else subprocess.STDOUT,
            preexec_fn=_before_exec,
        )

    def end(self, task: Task, code: int, signalled: bool) -> str:
        """Notes the end of a trainer, and returns what became of the run: see ``decide``."""
        step = last_saved_step(self.run / "checkpoints")
        state, may_crash = read_status(self.run).state, crashes_at(self.run, step) < self.max_crashes
        verdict = decide(code, is_finished(self.run), state, signalled, may_crash)
        append_event(self.run, verdict, task.job, task.restart, step, code)
        return verdict

    def is_overdue(self, signals: "Signals") -> bool:
        """A trainer that does not end in time would cost the requeue as well."""
        return signals.since_warning() > max(0.7 * self.signal_delay, self.signal_delay - 30)

    def log(self, task: Task) -> IO[str]:
        """The file of what the trainer prints."""
        name = "train.log" if task.rank == 0 else f"train.rank{task.rank}.log"
        return (self.run / name).open("a")

    def _train(self, task: Task, signals: "Signals") -> int:
        """The trainer's exit code, negative for a signal."""
        marker = self._marker(task)
        with self.log(task) as log:
            child = self.start(task, log)
            signals.forward_to(child)
            while child.poll() is None:
                if self.is_overdue(signals) or marker.exists():  # or its other ranks are gone
                    child.kill()
                time.sleep(POLL_SECONDS)
        if child.returncode != 0 and task.world > 1:
            marker.touch()
        return child.returncode

    def _end_of_helper(self, task: Task, code: int) -> str:
        """Other ranks than the first never fail: rank 0 decides, and srun would end it together with a failing one."""
        return "finished" if code == 0 else f"rank {task.rank} ended with code {code}"

    def _environment(self, task: Task) -> dict[str, str]:
        path = os.pathsep.join(part for part in (str(self.code), os.environ.get("PYTHONPATH", "")) if part)
        # The snapshot is not a checkout, or worse, lies in one that has moved on.
        sharing = {"CALIBRATEMIX_GPU_SHARED_BY": str(self.per_gpu)}  # pipeline/devices.py
        return task.environment() | {"PYTHONPATH": path, "CALIBRATEMIX_COMMIT": self.commit} | sharing

    def _marker(self, task: Task) -> Path:
        """Any rank that fails touches it, and all ranks end: NCCL would wait half an hour for the lost one."""
        return self.run / f".failed-{task.job}-{task.restart}"


class Signals:
    """Notes signals in place of submitit's handlers; passes SIGUSR2 and SIGTERM on, as SLURM may not.

    Ctrl-C reaches the trainer by itself: the terminal sends it to the whole group.
    """

    def __init__(self) -> None:
        self.seen: set[int] = set()
        self._warned: float | None = None
        self._children: list[subprocess.Popen[bytes]] = []
        for number in (signal.SIGTERM, signal.SIGUSR2, signal.SIGINT):
            signal.signal(number, self._note)
        signal.signal(signal.SIGCONT, signal.SIG_DFL)

    def forward_to(self, child: "subprocess.Popen[bytes]") -> None:
        """Passes signals on to it, too, from now on, and those that came before."""
        self._children.append(child)
        for number in self.seen - {signal.SIGINT}:
            child.send_signal(number)

    def since_warning(self) -> float:
        """Seconds since the first SIGUSR2, 0 before."""
        return time.monotonic() - self._warned if self._warned is not None else 0.0

    def _note(self, number: int, _: FrameType | None) -> None:
        self.seen.add(number)
        if number == signal.SIGUSR2 and self._warned is None:
            self._warned = time.monotonic()
        if number != signal.SIGINT:
            for child in self._children:
                child.send_signal(number)


def decide(code: int, finished: bool, state: str, signalled: bool, may_crash: bool) -> str:
    """finished, preempted, crashed or failed, after the trainer ended with ``code``; the middle two ask for a requeue.

    ``finished``: result.json is there; ``state``: that of status.json; ``signalled``: this job was asked to stop.
    """
    if finished:
        return "finished"
    if code == MISTAKE:
        return "failed"
    if signalled or (code == 0 and state == "preempted"):
        return "preempted"
    return "crashed" if may_crash else "failed"


def _before_exec() -> None:
    """In the child: a warning that comes before the trainer listens must not kill it; the loss of its parent must."""
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
