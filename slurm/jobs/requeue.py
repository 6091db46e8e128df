"""Asks SLURM to run a job again, from within the job."""

import signal
import subprocess
import sys
import time

from slurm.jobs.task import Task


def requeue(task: Task) -> str:
    """ "requeued", or "left to SLURM" where SLURM does it by itself or the job must not come back.

    The signal does not tell who sent it: a partition with a grace period sends SIGTERM and drops the job if it ends in
    time, scancel sends SIGTERM and the job must not come back. SLURM's own state does: after scontrol requeue, scancel
    and preemption without grace the job is COMPLETING, and SLURM does the rest by itself; otherwise it is RUNNING.
    """
    if task.cluster != "slurm":
        return "requeued"
    for attempt in range(4):
        state = _ask("squeue", "-h", "-j", task.job, "-o", "%T")
        if state.returncode == 0 and state.stdout.strip() != "RUNNING":
            return "left to SLURM"
        done = _ask("scontrol", "requeue", task.job)
        if done.returncode == 0 or "pending" in done.stderr:  # SLURM has requeued it in the meantime
            return "requeued"
        print(f"{state.stderr}{done.stderr}if the job does not come back, submit the grid again", file=sys.stderr)
        time.sleep(2**attempt)
    return "left to SLURM"


def _ask(*command: str) -> "subprocess.CompletedProcess[str]":
    """A SLURM command that outlives the step: a requeue signals every process of the step, this one too."""
    try:
        return subprocess.run(
            command, capture_output=True, text=True, timeout=60, start_new_session=True, preexec_fn=_ignore_signals
        )
    except (FileNotFoundError, subprocess.TimeoutExpired) as error:
        return subprocess.CompletedProcess(command, 1, "", f"{error}\n")


def _ignore_signals() -> None:
    for number in (signal.SIGTERM, signal.SIGUSR2, signal.SIGCONT, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
