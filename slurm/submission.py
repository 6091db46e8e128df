"""One call of submit.py that starts something: its folder, what it checks first, and the job arrays.

``ROOT/submissions/GRID-TIME/``: ``submission.json``, ``cells/*.yaml`` (the resolved options of every job) and
``jobs/`` (submitit's scripts and the batch system's logs). ``ROOT/code/HASH/``: the snapshots that jobs run.
"""

import json
import math
import os
import shlex
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import submitit
import yaml
from submitit.helpers import clean_env
from submitit.slurm.slurm import _make_sbatch_string

from pipeline.config import most_virtual_shards
from pipeline.runs.files import write_atomically
from slurm import cluster, snapshot
from slurm.cluster import Resources
from slurm.grid import PROJECT, Cell, Grid
from slurm.job import Job

SIGNAL_DELAY = 120  # seconds in which a step ends and a checkpoint is written
# Deaf to the warning until submitit listens: it would kill a job that has just begun.
PYTHON = f"""bash -c 'trap "" USR2; exec "$0" "$@"' {shlex.quote(sys.executable)}"""


@dataclass(frozen=True)
class Options:
    """How jobs run, beside what they ask for. ``extra`` are further sbatch options by name."""

    resources: Resources
    parallelism: int = 256
    signal_delay: int = SIGNAL_DELAY
    extra: tuple[tuple[str, str | bool], ...] = ()


def data_problems(cells: Sequence[Cell]) -> list[str]:
    """A line for every data folder or split that is not there."""
    found: dict[str, None] = {}
    for cell in cells:
        config = cell.config
        folder = Path(config.data) / config.dataset
        if not (folder / "manifest.json").is_file():
            found[f"{folder}: no such data folder; make it with dataprep/make_beton.py, or --set data=DIR"] = None
        elif split_hash(cell) is None:
            found[f"{folder}: no split {config.split_name}; add it with dataprep/make_beton.py"] = None
    return list(found)


def split_hash(cell: Cell) -> str | None:
    """sha256 of the labelled split, by the data folder's manifest; None where it has none of that name."""
    path = Path(cell.config.data) / cell.config.dataset / "manifest.json"
    try:
        split = json.loads(path.read_text())["splits"].get(cell.config.split_name)
    except (OSError, ValueError, KeyError):
        return None
    return split["sha256"] if split else None


def rank_problems(cells: Sequence[Cell], ranks: int) -> list[str]:
    """Ranks must divide the virtual shards of a batch; a small data set may have fewer, which the trainer will say."""
    wrong = {
        c.dataset for c in cells if most_virtual_shards(c.config.batch.labelled, c.config.unlabelled_batch) % ranks
    }
    return [f"{ranks} ranks do not divide the batches of {name}; use a power of two" for name in sorted(wrong)]


def time_problems(options: Options) -> list[str]:
    """A limit that leaves no time between the first step and the warning."""
    if options.resources.minutes * 60 >= 2 * options.signal_delay:
        return []
    return [f"--time {options.resources.minutes} min: less than twice --signal-delay {options.signal_delay} s"]


class Submission:
    """Writes its folder when it is opened; nothing before."""

    def __init__(self, grid: Grid, options: Options) -> None:
        self.grid, self.options = grid, options
        self.name = f"{grid.name}-{time.strftime('%Y%m%d-%H%M%S')}"
        self.folder = grid.root.resolve() / "submissions" / self.name
        self.code = snapshot.place(PROJECT, grid.root.resolve() / "code")
        self.commit = snapshot.commit(PROJECT)

    def open(self) -> None:
        """Takes the snapshot and makes the folders."""
        (self.folder / "cells").mkdir(parents=True)
        snapshot.take(PROJECT, self.code)
        note = {"command": sys.argv, "commit": self.commit, "code": str(self.code)}
        (self.folder / "submission.json").write_text(json.dumps(note, indent=1))

    def job(self, cell: Cell, echo: bool = False) -> Job:
        """The job of a cell, with its options written down."""
        run = cell.folder.resolve()
        threads = cell.config.threads or self.options.resources.cpus
        data = str(Path(cell.config.data).resolve())
        config = replace(cell.config, out=str(run), data=data, threads=threads)
        path = self.folder / "cells" / ("-".join(run.parts[-4:]) + ".yaml")
        path.write_text(yaml.safe_dump(config.to_dict(), sort_keys=False))
        run.mkdir(parents=True, exist_ok=True)
        return Job(run, path, self.code, self.commit, self.options.signal_delay, echo=echo)

    def record(self, cell: Cell, where: str, job_id: str) -> None:
        """job.json in the run folder: what to look for in the queue, and where a number came from."""
        content: dict[str, Any] = {"job": job_id, "name": self.name, "cluster": where, "submission": str(self.folder)}
        content |= {"commit": self.commit, "code": str(self.code), "split_sha256": split_hash(cell)}
        write_atomically(cell.folder / "job.json", json.dumps({**content, "time": time.time()}, indent=1))

    # ---- SLURM

    def parameters(self) -> dict[str, Any]:
        """What submitit's SlurmExecutor is told."""
        wanted = self.options.resources
        setup = [f"export PYTHONPATH={shlex.quote(str(self.code))}", "export PYTHONSAFEPATH=1"]
        if private := os.environ.get("SLURM_CONF"):  # a site may not export the environment to its jobs
            setup.append(f"export SLURM_CONF={shlex.quote(private)}")
        named: dict[str, Any] = {"partition": wanted.partition, "qos": wanted.qos, "account": wanted.account}
        return {
            "job_name": self.name,
            "time": math.ceil(wanted.minutes),
            "nodes": wanted.nodes,
            "ntasks_per_node": wanted.tasks,
            "cpus_per_task": wanted.cpus,
            **({"gpus_per_node": wanted.gpus} if wanted.gpus else {}),
            **({"mem": f"{math.ceil(1024 * wanted.memory_gb)}MB"} if wanted.memory_gb else {}),
            **{name: value for name, value in named.items() if value},
            "signal_delay_s": self.options.signal_delay,
            "array_parallelism": self.options.parallelism,
            "setup": setup,
            # Since 22.05 srun does not take the cores from sbatch. A task that is killed must not leave others waiting.
            "srun_args": [f"--cpus-per-task={wanted.cpus}", "--wait=120"],
            "additional_parameters": {"requeue": True, **dict(self.options.extra)},
        }

    def script(self, count: int) -> str:
        """The sbatch text of an array of ``count``."""
        command = f"{PYTHON} -u -m submitit.core._submit {shlex.quote(str(self.folder / 'jobs'))}"
        array = count if count > 1 else None  # submitit makes no array of one
        return _make_sbatch_string(command, self.folder / "jobs", map_count=array, **self.parameters())

    def submit(self, cells: Sequence[Cell]) -> list[str]:
        """Submits arrays below the cluster's limit; the job id of each cell. ValueError with sbatch's refusal."""
        ids: list[str] = []
        size = cluster.max_array_size()
        with _outside_of_jobs():
            executor = submitit.SlurmExecutor(self.folder / "jobs", python=PYTHON)
            executor.update_parameters(**self.parameters())
            for start in range(0, len(cells), size):
                part = cells[start : start + size]
                try:
                    jobs = executor.submit_array([self.job(cell) for cell in part])
                except Exception as error:  # submitit raises several kinds, all with sbatch's text
                    said = " ".join(str(error).split())
                    raise ValueError(f"sbatch refused after {len(ids)} of {len(cells)} jobs: {said}") from None
                for cell, job in zip(part, jobs, strict=True):
                    self.record(cell, "slurm", job.job_id)
                    ids.append(job.job_id)
        return ids


@contextmanager
def _outside_of_jobs() -> Iterator[None]:
    """Hides the job that this may run in; the cluster stays the same one."""
    private = {k: os.environ[k] for k in ("SLURM_CONF",) if k in os.environ}
    with clean_env():
        os.environ.update(private)
        yield
    os.environ.update(private)
