"""Several cells side by side on the GPU of one job, each a process of its own (``submit.py --per-gpu``)."""

import subprocess
import time
from contextlib import ExitStack
from dataclasses import dataclass

from pipeline.runs.read import is_finished
from slurm.jobs.history import events
from slurm.jobs.job import POLL_SECONDS, Job, Signals
from slurm.jobs.requeue import requeue
from slurm.jobs.task import Task


@dataclass(frozen=True)
class Pack:
    """Runs its jobs at once in a single task. submitit pickles it, and calls it again after every requeue.

    What ends one of them leaves the others alone. The job ends with the last of them. It is requeued if one is to go
    on, and then starts what has neither finished nor failed.
    """

    jobs: tuple[Job, ...]

    def __call__(self) -> str:
        """What became of the job: finished or requeued. RuntimeError where a cell failed and none is to go on."""
        task, signals = Task.current(), Signals()
        verdicts = self._train([job for job in self.jobs if not _is_settled(job, task)], task, signals)
        if {"preempted", "crashed"} & set(verdicts.values()):
            return requeue(task)
        if failed := [str(job.run) for job in self.jobs if not is_finished(job.run)]:
            raise RuntimeError(f"failed, see train.log there: {', '.join(failed)}")
        return "finished"

    def _train(self, jobs: list[Job], task: Task, signals: Signals) -> dict[Job, str]:
        """What became of each, by job.decide."""
        verdicts: dict[Job, str] = {}
        with ExitStack() as logs:
            going: dict[Job, subprocess.Popen[bytes]] = {}
            for job in jobs:
                job.begin(task)
                going[job] = job.start(task, logs.enter_context(job.log(task)))
                signals.forward_to(going[job])
            while len(verdicts) < len(going):
                for job, child in going.items():
                    if child.poll() is None and job.is_overdue(signals):
                        child.kill()
                    if job not in verdicts and child.poll() is not None:
                        verdicts[job] = job.end(task, child.returncode, bool(signals.seen))
                time.sleep(POLL_SECONDS)
        return verdicts


def _is_settled(job: Job, task: Task) -> bool:
    """Nothing is left to do, or it failed before this job was requeued for another's sake."""
    last = next(reversed(events(job.run)), None)
    return is_finished(job.run) or (last is not None and (last.event, last.job) == ("failed", task.job))
