"""One call of submit.py that starts something: its folder, the jobs of its cells, and the job arrays.

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
from dataclasses import replace
from pathlib import Path
from typing import Any

import submitit
import yaml
from submitit.helpers import clean_env
from submitit.slurm.slurm import _make_sbatch_string

from pipeline.config.options import Config
from slurm.grids.grid import PROJECT, Cell, Grid
from slurm.jobs import cluster, snapshot
from slurm.jobs.history import JobRecord, write_job
from slurm.jobs.job import Job
from slurm.jobs.pack import Pack
from slurm.jobs.resources import JobOptions

# SLURM's warning would kill a job that has just begun: it is ignored until submitit handles it.
PYTHON = f"""bash -c 'trap "" USR2; exec "$0" "$@"' {shlex.quote(sys.executable)}"""


class Submission:
    """Nothing is written before ``open``."""

    def __init__(self, grid: Grid, options: JobOptions) -> None:
        self.grid, self.options = grid, options
        self.name = f"{grid.name}-{time.strftime('%Y%m%d-%H%M%S')}"
        self.folder = grid.root.resolve() / "submissions" / self.name
        self.code = snapshot.location(PROJECT, grid.root.resolve() / "code")
        self.commit = snapshot.commit(PROJECT)

    def open(self) -> None:
        """Makes the folder and takes the snapshot."""
        (self.folder / "cells").mkdir(parents=True)
        snapshot.take(PROJECT, self.code)
        note = {"command": sys.argv, "commit": self.commit, "code": str(self.code)}
        (self.folder / "submission.json").write_text(json.dumps(note, indent=1))

    def job(self, cell: Cell, echo: bool = False) -> Job:
        """The job of a cell; writes the cell's options to a file."""
        run = cell.folder.resolve()
        threads = cell.config.threads or self.options.resources.cpus
        data = str(Path(cell.config.data).resolve())
        config = replace(cell.config, out=str(run), data=data, threads=threads)
        path = self.folder / "cells" / ("-".join(run.parts[-4:]) + ".yaml")
        path.write_text(yaml.safe_dump(config.to_dict(), sort_keys=False))
        run.mkdir(parents=True, exist_ok=True)
        delay, share = self.options.signal_delay, self.options.resources.per_gpu
        return Job(run, path, self.code, self.commit, delay, echo=echo, per_gpu=share)

    def record(self, cell: Cell, where: str, job_id: str) -> None:
        """job.json in the run folder."""
        known = split_hashes(data_folder(cell.config)) or {}
        record = JobRecord(
            job=job_id,
            name=self.name,
            cluster=where,
            submission=str(self.folder),
            commit=self.commit,
            code=str(self.code),
            split_sha256=known.get(cell.config.split_among(known)),
            time=time.time(),
        )
        write_job(cell.folder, record)

    # ---- SLURM

    def parameters(self) -> dict[str, Any]:
        """The parameters of submitit's SlurmExecutor."""
        wanted = self.options.resources
        setup = [f"export PYTHONPATH={shlex.quote(str(self.code))}", "export PYTHONSAFEPATH=1"]
        if path := os.environ.get("SLURM_CONF"):  # a site may not export the environment to its jobs
            setup.append(f"export SLURM_CONF={shlex.quote(path)}")
        named: dict[str, Any] = {"partition": wanted.partition, "qos": wanted.qos, "account": wanted.account}
        return {
            "job_name": self.name,
            "time": math.ceil(wanted.minutes),
            "nodes": wanted.nodes,
            "ntasks_per_node": wanted.tasks,
            "cpus_per_task": wanted.cpus * wanted.per_gpu,
            **({"gpus_per_node": wanted.gpus} if wanted.gpus else {}),
            **({"mem": f"{math.ceil(1024 * wanted.memory_gb)}MB"} if wanted.memory_gb else {}),
            **{name: value for name, value in named.items() if value},
            "signal_delay_s": self.options.signal_delay,
            "array_parallelism": self.options.parallelism,
            "setup": setup,
            # Since 22.05 srun does not inherit the cores from sbatch. When a task is killed, the others must end too.
            "srun_args": [f"--cpus-per-task={wanted.cpus * wanted.per_gpu}", "--wait=120"],
            "additional_parameters": {"requeue": True, **dict(self.options.extra)},
        }

    def script(self, count: int) -> str:
        """The batch script of an array of ``count`` jobs."""
        command = f"{PYTHON} -u -m submitit.core._submit {shlex.quote(str(self.folder / 'jobs'))}"
        array = count if count > 1 else None  # submitit makes no array of one
        return _make_sbatch_string(command, self.folder / "jobs", map_count=array, **self.parameters())

    def submit(self, cells: Sequence[Cell]) -> list[str]:
        """Submits arrays no larger than the cluster allows; returns each cell's job id. ValueError as sbatch says."""
        ids: list[str] = []
        size, share = cluster.max_array_size(), self.options.resources.per_gpu
        packs = [cells[start : start + share] for start in range(0, len(cells), share)]
        with _outside_of_jobs():
            executor = submitit.SlurmExecutor(self.folder / "jobs", python=PYTHON)
            executor.update_parameters(**self.parameters())
            for start in range(0, len(packs), size):
                part = packs[start : start + size]
                try:
                    jobs = executor.submit_array([self._of_pack(pack) for pack in part])
                except Exception as error:  # submitit raises several kinds, all with sbatch's text
                    said = " ".join(str(error).split())
                    raise ValueError(f"sbatch refused after {len(ids)} of {len(cells)} runs: {said}") from None
                for pack, job in zip(part, jobs, strict=True):
                    for cell in pack:
                        self.record(cell, "slurm", job.job_id)
                        ids.append(job.job_id)
        return ids

    def _of_pack(self, cells: Sequence[Cell]) -> Job | Pack:
        """The job of cells that share a GPU."""
        jobs = tuple(self.job(cell) for cell in cells)
        return jobs[0] if self.options.resources.per_gpu == 1 else Pack(jobs)


@contextmanager
def _outside_of_jobs() -> Iterator[None]:
    """Hides the job that this process may run in; the cluster stays the same."""
    kept = {k: os.environ[k] for k in ("SLURM_CONF",) if k in os.environ}
    with clean_env():
        os.environ.update(kept)
        yield
    os.environ.update(kept)


def data_folder(config: Config) -> Path:
    """DATA/NAME of a run."""
    return Path(config.data) / config.dataset


def split_hashes(folder: Path) -> dict[str, str] | None:
    """The sha256 of every labelled split, by a data folder's manifest; None where there is no such folder."""
    path = folder / "manifest.json"
    if not path.is_file():
        return None
    try:
        return {name: split["sha256"] for name, split in json.loads(path.read_text())["splits"].items()}
    except (OSError, ValueError, KeyError, TypeError):
        return {}
