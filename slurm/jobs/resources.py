"""What a job asks for, and how it is run."""

import re
from dataclasses import dataclass

SIGNAL_DELAY = 120  # seconds in which a step ends and a checkpoint is written


@dataclass(frozen=True)
class Resources:
    """What a job asks for. ``minutes`` is its time limit, ``memory_gb`` the memory of a node.

    ``per_gpu`` > 1: so many runs of one rank each share a GPU, and on SLURM a job.
    """

    nodes: int = 1
    gpus: int = 1  # per node
    tasks: int = 1  # per node
    cpus: int = 8  # per task, of which each run that shares a GPU has its own
    minutes: int = 1440
    memory_gb: float | None = None
    partition: str | None = None
    qos: str | None = None
    account: str | None = None
    per_gpu: int = 1

    @property
    def ranks(self) -> int:
        """All ranks of the job, one per task."""
        return self.nodes * self.tasks


@dataclass(frozen=True)
class JobOptions:
    """How jobs run. ``extra`` are further options of sbatch by name; True stands for one without a value."""

    resources: Resources
    parallelism: int = 256  # jobs that may run at a time
    signal_delay: int = SIGNAL_DELAY  # seconds between SLURM's warning and the time limit
    extra: tuple[tuple[str, str | bool], ...] = ()


def minutes(text: str) -> float:
    """Minutes of SLURM's "D-HH:MM:SS", "HH:MM:SS", "MM:SS" or "MM"; ValueError for anything else."""
    if text.strip().lower() in {"infinite", "unlimited", "n/a"}:
        return float("inf")
    match = re.fullmatch(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?", text.strip())
    if not match:
        raise ValueError(f"--time {text}: expected minutes, HH:MM:SS or D-HH:MM:SS")
    days, *rest = (int(part) if part else None for part in match.groups())
    parts = [part for part in rest if part is not None]
    if days is not None:
        hours, mins, secs = [*parts, 0, 0][:3]
    elif len(parts) == 3:
        hours, mins, secs = parts
    else:
        hours, mins, secs = 0, parts[0], parts[1] if len(parts) == 2 else 0
    return 1440 * (days or 0) + 60 * hours + mins + secs / 60
