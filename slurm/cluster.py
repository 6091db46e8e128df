"""What the SLURM at hand has, asked of sinfo, squeue and scontrol; nothing here needs sacct."""

import getpass
import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

CONFIGURATIONS = ("/etc/slurm/slurm.conf", "/etc/slurm-llnl/slurm.conf", "/run/slurm/conf/slurm.conf")


@dataclass(frozen=True)
class Resources:
    """What a job asks for. ``minutes`` is its time limit, ``memory_gb`` a node's."""

    nodes: int = 1
    gpus: int = 1  # a node
    tasks: int = 1  # a node
    cpus: int = 8  # a task
    minutes: int = 1440
    memory_gb: float | None = None
    partition: str | None = None
    qos: str | None = None
    account: str | None = None

    @property
    def ranks(self) -> int:
        """Of the whole job."""
        return self.nodes * self.tasks


@dataclass(frozen=True)
class Partition:
    """The most that one node (or all of one kind together) of a partition offers."""

    nodes: int
    cpus: int
    memory_mb: int
    gpus: int
    minutes: float


def is_here() -> bool:
    """This machine can submit: the commands are there, and so is a configuration or a controller that answers."""
    if shutil.which("sbatch") is None:
        return False
    if "SLURM_CONF" in os.environ or any(Path(path).exists() for path in CONFIGURATIONS):
        return True
    return subprocess.run(["sinfo"], capture_output=True).returncode == 0


def partitions() -> tuple[dict[str, Partition], str]:
    """All partitions and the default's name. ValueError where SLURM does not answer."""
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


def problems(wanted: Resources) -> list[str]:
    """What this cluster cannot give, a line each; SLURM would let some of it wait for ever."""
    known, default = partitions()
    name = wanted.partition or default
    if name not in known:
        return [f"--partition {name}: no such partition; this cluster has {', '.join(known)}"]
    has, of = known[name], f"the nodes of partition {name} have"
    cpus, memory = wanted.tasks * wanted.cpus, 1024 * (wanted.memory_gb or 0)
    checks = [
        (wanted.nodes > has.nodes, f"--nodes {wanted.nodes}: partition {name} has {has.nodes}"),
        (wanted.gpus > has.gpus, f"--gpus-per-node {wanted.gpus}: {of} {has.gpus}"),
        (cpus > has.cpus, f"--cpus-per-task {wanted.cpus} times {wanted.tasks} tasks a node: {of} {has.cpus}"),
        (memory > has.memory_mb, f"--mem {memory / 1024:g}: {of} {has.memory_mb / 1024:.1f} GB"),
        (
            wanted.minutes > has.minutes,
            f"--time: {wanted.minutes} minutes, but partition {name} allows {has.minutes:g}",
        ),
    ]
    return [text for wrong, text in checks if wrong]


def refusal(script: str) -> str:
    """What sbatch itself has against a job script, or ""; nothing is submitted."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "job.sh"
        path.write_text(script)
        done = subprocess.run(["sbatch", "--test-only", str(path)], capture_output=True, text=True)
    return "" if done.returncode == 0 else " ".join(done.stderr.split())


def max_array_size() -> int:
    """The most elements that an array may have here."""
    found = re.search(r"MaxArraySize\s*=\s*(\d+)", _ask("scontrol", "show", "config"))
    return max(1, int(found[1]) - 1) if found else 1000


def queue() -> dict[tuple[str, str], tuple[str, str]]:
    """(job name, id) -> (state, reason) of this user's jobs that are not over; {} where SLURM does not answer."""
    try:
        lines = _ask("squeue", "-h", "-r", "-u", getpass.getuser(), "-o", "%j|%i|%T|%r").splitlines()
    except ValueError:
        return {}
    fields = [line.split("|", 3) for line in lines]
    return {(f[0], f[1]): (f[2], f[3]) for f in fields if len(f) == 4}


def minutes(text: str) -> float:
    """Of SLURM's "D-HH:MM:SS", "HH:MM:SS", "MM:SS" or "MM"; ValueError where it is none."""
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
