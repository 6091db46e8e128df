"""What a job does on the node: run the trainer of one rank, and see to it that the cell goes on after a stop.

One task a GPU, and no torchrun between SLURM and the ranks: SLURM's signals reach every rank itself (torchrun dies of
SIGUSR2), exit codes stay what they are, and a rank is bound to the cores and the GPU of its task.

submitit would requeue from inside its signal handler, while the trainer still saves, and loses the job where SLURM has
requeued it already. So its handlers are replaced: a signal is only noted here, the trainer handles it itself (finish
the step, save, exit 0 with status.json "preempted"), and rank 0 asks for the requeue once the trainer has ended.
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

import submitit

from slurm.runs import RunState, append_event, crashes_here, read, saved_step, settle

PR_SET_PDEATHSIG = 1  # linux/prctl.h
FIRST_PORT, PORTS = 20000, 12000  # below Linux's ephemeral ports, which any program may hold
MISTAKE = 2  # the trainer's exit code for a wrong option: trying again cannot help
POLL_SECONDS = 0.2


@dataclass(frozen=True)
class Place:
    """This process among those of its job."""

    job: str
    cluster: str
    rank: int = 0
    world: int = 1
    local_rank: int = 0
    local_world: int = 1
    host: str = "127.0.0.1"
    restart: int = 0

    @classmethod
    def here(cls) -> "Place":
        """As submitit's environment says; alone where there is none (``--cluster debug``)."""
        try:
            job = submitit.JobEnvironment()
        except RuntimeError:
            return cls(f"pid-{os.getpid()}", "debug")
        host = "127.0.0.1" if job.cluster == "local" else str(job.hostnames[0])
        restart = int(os.environ.get("SLURM_RESTART_COUNT", 0))
        local_world = max(1, job.num_tasks // job.num_nodes)
        return cls(job.job_id, job.cluster, job.global_rank, job.num_tasks, job.local_rank, local_world, host, restart)

    def environment(self) -> dict[str, str]:
        """What torch needs to know; with one rank nothing, and then the trainer is a group of one."""
        inherited = {k: v for k, v in os.environ.items() if k not in {"RANK", "WORLD_SIZE", "LOCAL_RANK"}}
        if self.world == 1:
            return inherited
        devices = [d for d in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if d]
        local = self.local_rank % len(devices) if devices else self.local_rank  # a site may bind one GPU to each task
        return inherited | {
            "RANK": str(self.rank),
            "WORLD_SIZE": str(self.world),
            "LOCAL_RANK": str(local),
            "LOCAL_WORLD_SIZE": str(self.local_world),
            "MASTER_ADDR": self.host,
            "MASTER_PORT": str(self.port),
        }

    @property
    def port(self) -> int:
        """The same on all ranks, another one for every job and restart: a taken one is not taken twice."""
        raw = int(os.environ.get("SLURM_JOB_ID", "0") if self.cluster == "slurm" else self.job)
        return FIRST_PORT + (31 * raw + 7 * self.restart) % PORTS


@dataclass(frozen=True)
class Job:
    """Runs one cell; submitit pickles it, calls it in every task, and again with every requeue."""

    run: Path  # the run folder
    config: Path  # the cell's resolved options
    code: Path  # the snapshot
    commit: str  # of the checkout that was snapshot
    signal_delay: int  # seconds between SLURM's warning and the end
    max_crashes: int = 2  # without a step forward
    echo: bool = False

    def __call__(self) -> str:
        """What became of the cell: finished, requeued or stopped. RuntimeError where it failed."""
        place, signals = Place.here(), Signals()
        if place.rank == 0:
            settle(self.run)
            append_event(self.run, "start", place.job, place.restart)
        code = self._train(place, signals)
        if place.rank:
            return self._end_of_helper(place, code)
        return self._end(place, code, signals)

    def _train(self, place: Place, signals: "Signals") -> int:
        """The trainer's exit code, negative for a signal."""
        marker = self._marker(place)
        with self._log(place) as log:
            child = subprocess.Popen(
                [sys.executable, str(self.code / "pipeline/train.py"), "--config", str(self.config)],
                env=self._environment(place),
                stdout=None if self.echo else log,
                stderr=None if self.echo else subprocess.STDOUT,
                preexec_fn=_before_exec,
            )
            signals.forward_to(child)
            while child.poll() is None:
                # A trainer that does not end in time, or whose other ranks are gone, would lose the requeue as well.
                if signals.since_warning() > max(0.7 * self.signal_delay, self.signal_delay - 30) or marker.exists():
                    child.kill()
                time.sleep(POLL_SECONDS)
        if child.returncode != 0 and place.world > 1:
            marker.touch()
        return child.returncode

    def _end(self, place: Place, code: int, signals: "Signals") -> str:
        state = read(self.run)
        step = saved_step(self.run)
        may_crash = crashes_here(self.run, step) < self.max_crashes
        verdict = decide(code, state, bool(signals.seen), may_crash)
        append_event(self.run, verdict, place.job, place.restart, step, code)
        if verdict == "failed":
            raise RuntimeError(f"{self.run}: the trainer ended with code {code}; see {self.run / 'train.log'}")
        return verdict if verdict == "finished" else requeue(place)

    def _end_of_helper(self, place: Place, code: int) -> str:
        """Ranks but the first return in peace: rank 0 decides, and srun would end it with a failing one."""
        return "finished" if code == 0 else f"rank {place.rank} ended with code {code}"

    def _environment(self, place: Place) -> dict[str, str]:
        path = os.pathsep.join(part for part in (str(self.code), os.environ.get("PYTHONPATH", "")) if part)
        # The snapshot is no checkout, or worse, lies in one that has moved on.
        return place.environment() | {"PYTHONPATH": path, "CALIBRATEMIX_COMMIT": self.commit}

    def _log(self, place: Place) -> IO[str]:
        name = "train.log" if place.rank == 0 else f"train.rank{place.rank}.log"
        return (self.run / name).open("a")

    def _marker(self, place: Place) -> Path:
        """Any rank that fails touches it, and all end: NCCL would wait half an hour for the lost one."""
        return self.run / f".failed-{place.job}-{place.restart}"


class Signals:
    """Notes what comes in place of submitit's handlers; SIGUSR2 and SIGTERM are passed on, as SLURM may not.

    Ctrl-C reaches the trainer by itself: the terminal sends it to the whole group.
    """

    def __init__(self) -> None:
        self.seen: set[int] = set()
        self._warned: float | None = None
        self._child: subprocess.Popen[bytes] | None = None
        for number in (signal.SIGTERM, signal.SIGUSR2, signal.SIGINT):
            signal.signal(number, self._note)
        signal.signal(signal.SIGCONT, signal.SIG_DFL)

    def forward_to(self, child: "subprocess.Popen[bytes]") -> None:
        """From now on, and what came before."""
        self._child = child
        for number in self.seen - {signal.SIGINT}:
            child.send_signal(number)

    def since_warning(self) -> float:
        """Seconds since the first SIGUSR2."""
        return time.monotonic() - self._warned if self._warned is not None else 0.0

    def _note(self, number: int, _: FrameType | None) -> None:
        self.seen.add(number)
        if number == signal.SIGUSR2 and self._warned is None:
            self._warned = time.monotonic()
        if number != signal.SIGINT and self._child is not None:
            self._child.send_signal(number)


def decide(code: int, state: RunState, signalled: bool, may_crash: bool) -> str:
    """finished, preempted, crashed or failed, after the trainer ended with ``code``; the middle two want a requeue."""
    if state.finished:
        return "finished"
    if code == MISTAKE:
        return "failed"
    if signalled or (code == 0 and state.status == "preempted"):
        return "preempted"
    return "crashed" if may_crash else "failed"


def requeue(place: Place) -> str:
    """Asks SLURM to run this job again; "requeued", or "left to SLURM" where that is not ours to do.

    The signal does not tell who sent it: a partition with grace sends SIGTERM and forgets the job if it ends in time,
    scancel sends SIGTERM and the job must not come back. SLURM's own state does: after scontrol requeue, scancel and
    preemption without grace the job is COMPLETING, and SLURM does the rest by itself; else it is RUNNING.
    """
    if place.cluster != "slurm":
        return "requeued"
    for attempt in range(4):
        state = _ask("squeue", "-h", "-j", place.job, "-o", "%T")
        if state.returncode == 0 and state.stdout.strip() != "RUNNING":
            return "left to SLURM"
        done = _ask("scontrol", "requeue", place.job)
        if done.returncode == 0 or "pending" in done.stderr:  # SLURM has requeued it in between
            return "requeued"
        print(f"{state.stderr}{done.stderr}submit the grid again to go on if this is the end", file=sys.stderr)
        time.sleep(2**attempt)
    return "left to SLURM"


def _ask(*command: str) -> "subprocess.CompletedProcess[str]":
    """A SLURM command that outlives the step: the requeue signals every process of it, this one too."""
    try:
        return subprocess.run(
            command, capture_output=True, text=True, timeout=60, start_new_session=True, preexec_fn=_deaf
        )
    except (FileNotFoundError, subprocess.TimeoutExpired) as error:
        return subprocess.CompletedProcess(command, 1, "", f"{error}\n")


def _deaf() -> None:
    for number in (signal.SIGTERM, signal.SIGUSR2, signal.SIGCONT, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)


def _before_exec() -> None:
    """In the child: a warning that comes before the trainer listens must not kill it; a lost parent must."""
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
