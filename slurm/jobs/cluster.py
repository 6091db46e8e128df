"""What this SLURM cluster offers and what it is running, by sinfo, squeue and scontrol; nothing here needs sacct."""

import getpass
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from slurm.jobs.resources import Resources, minutes

CONFIGURATIONS = ("/etc/slurm/slurm.conf", "/etc/slurm-llnl/slurm.conf", "/run/slurm/conf/slurm.conf")


@dataclass(frozen=True)
class Partition:
    """What a partition offers: the number of its nodes, the largest of them, and the time limit."""

    nodes: int
    cpus: int
    memory_mb: int
    gpus: int
    minutes: float


@dataclass(frozen=True)
class Queued:
    """A job in the queue, in SLURM's words."""

    state: str
    reason: str


Queue = Mapping[tuple[str, str], Queued]  # by job name and id: ids alone start again at 1 on a new cluster


def is_available() -> bool:
    """Whether this machine can submit: it has the commands, and a configuration or a controller that answers."""
    if shutil.which("sbatch") is None:
        return False
    if "SLURM_CONF" in os.environ or any(Path(path).exists() for path in CONFIGURATIONS):
        return True
    return subprocess.run(["sinfo"], capture_output=True).returncode == 0


def partitions() -> tuple[dict[str, Partition], str]:
    """All partitions, and the name of the default one. ValueError where SLURM does not answer."""
    found: dict[str, Partition] = {}
    default = ""
    for line in _ask("sinfo", "-h", "-o", "%P|%D|%c|%m|%G|%l").splitlines():
        name, nodes, cpus, memory, gres, limit = line.split("|")
        default = name.rstrip("*") if name.endswith("*") else default
        name = name.rstrip("*")
        new = Partition(int(nodes), _number(cpus), _number(memory), _gpus(gres), minutes(limit))
        old = found.get(name, Partition(0, 0, 0, 0, new.minutes))
        found[name] = Partition(
            old.nodes + new.nodes,
            max(old.cpus, new.cpus),
            max(old.memory_mb, new.memory_mb),
            max(old.gpus, new.gpus),
            new.minutes,
        )
    return found, default


def resource_problems(wanted: Resources) -> list[str]:
    """What this cluster cannot provide, a line each; SLURM would let some such jobs wait forever."""
    known, default = partitions()
    name = wanted.partition or default
    if name not in known:
        return [f"--partition {name}: no such partition; this cluster has {', '.join(known)}"]
    has, of = known[name], f"the nodes of partition {name} have"
    cpus, memory = wanted.tasks * wanted.cpus * wanted.per_gpu, 1024 * (wanted.memory_gb or 0)
    times = f"{wanted.per_gpu} runs a GPU" if wanted.per_gpu > 1 else f"{wanted.tasks} tasks a node"
    checks = [
        (wanted.nodes > has.nodes, f"--nodes {wanted.nodes}: partition {name} has {has.nodes}"),
        (wanted.gpus > has.gpus, f"--gpus-per-node {wanted.gpus}: {of} {has.gpus}"),
        (cpus > has.cpus, f"--cpus-per-task {wanted.cpus} times {times}: {of} {has.cpus}"),
        (memory > has.memory_mb, f"--mem {memory / 1024:g}: {of} {has.memory_mb / 1024:.1f} GB"),
        (
            wanted.minutes > has.minutes,
            f"--time: {wanted.minutes} minutes, but partition {name} allows {has.minutes:g}",
        ),
    ]
    return [text for wrong, text in checks if wrong]


def sbatch_refusal(script: str) -> str:
    """Why sbatch would refuse a job script, "" where it would not; nothing is submitted."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "job.sh"
        path.write_text(script)
        done = subprocess.run(["sbatch", "--test-only", str(path)], capture_output=True, text=True)
    return "" if done.returncode == 0 else " ".join(done.stderr.split())


def max_array_size() -> int:
    """The largest job array that this cluster accepts."""
    found = re.search(r"MaxArraySize\s*=\s*(\d+)", _ask("scontrol", "show", "config"))
    return max(1, int(found[1]) - 1) if found else 1000


def queue() -> Queue:
    """This user's waiting and running jobs; none where SLURM does not answer."""
    try:
        lines = _ask("squeue", "-h", "-r", "-u", getpass.getuser(), "-o", "%j|%i|%T|%r").splitlines()
    except ValueError:
        return {}
    fields = [line.split("|", 3) for line in lines]
    return {(f[0], f[1]): Queued(f[2], f[3]) for f in fields if len(f) == 4}


def _ask(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    except FileNotFoundError:
        raise ValueError(f"{command[0]} is not on the PATH: is this a SLURM cluster? Use --cluster local") from None
    except subprocess.TimeoutExpired:
        raise ValueError(f"{command[0]}: SLURM did not answer within a minute; try again") from None
    if done.returncode:
        raise ValueError(f"{command[0]}: {(done.stderr.strip().splitlines() or ['failed without a word'])[-1]}")
    return done.stdout


def _number(text: str) -> int:
    found = re.match(r"\d+", text)  # "64+" where nodes differ
    return int(found[0]) if found else 0


def _gpus(gres: str) -> int:
    """Of "gpu:2", "gpu:a100:4(S:0-1),gpu:h100:2", "(null)"."""
    return sum(int(n) for n in re.findall(r"gpu(?::[^:,()]+)?:(\d+)", gres))
