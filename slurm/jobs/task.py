"""One task of a job: its place among the others, and what the trainer's rank in it needs to know."""

import os
from dataclasses import dataclass

import submitit

from slurm.jobs.network import gloo_interface

FIRST_PORT, PORTS = 20000, 12000  # below Linux's ephemeral ports, which any program may hold


@dataclass(frozen=True)
class Task:
    """One process per rank; ``host`` is that of rank 0, ``others`` are the hosts of the job's other nodes.

    ``restart`` counts the requeues of the job.
    """

    job: str
    cluster: str
    rank: int = 0
    world: int = 1
    local_rank: int = 0
    local_world: int = 1
    host: str = "127.0.0.1"
    restart: int = 0
    others: tuple[str, ...] = ()

    @classmethod
    def current(cls) -> "Task":
        """This process, by submitit's environment; a job of one task where there is none (``--cluster debug``)."""
        try:
            job = submitit.JobEnvironment()
        except RuntimeError:
            return cls(f"pid-{os.getpid()}", "debug")
        hosts = ["127.0.0.1"] if job.cluster == "local" else [str(host) for host in job.hostnames]
        others = (*hosts[: job.node], *hosts[job.node + 1 :])
        restart = int(os.environ.get("SLURM_RESTART_COUNT", 0))
        local_world = max(1, job.num_tasks // job.num_nodes)
        place = job.global_rank, job.num_tasks, job.local_rank, local_world
        return cls(job.job_id, job.cluster, *place, hosts[0], restart, others)

    def environment(self) -> dict[str, str]:
        """The environment that torch.distributed reads; nothing of it where there is only one rank."""
        inherited = {k: v for k, v in os.environ.items() if k not in {"RANK", "WORLD_SIZE", "LOCAL_RANK"}}
        if self.world == 1:
            return inherited
        devices = [d for d in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if d]
        local = self.local_rank % len(devices) if devices else self.local_rank  # a site may bind one GPU to each task
        if self.others and "GLOO_SOCKET_IFNAME" not in inherited and (name := gloo_interface(self.others)):
            inherited["GLOO_SOCKET_IFNAME"] = name
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
        """The same on all ranks, but different for every job and restart, so that a port in use is tried only once."""
        raw = int(os.environ.get("SLURM_JOB_ID", "0") if self.cluster == "slurm" else self.job)
        return FIRST_PORT + (31 * raw + 7 * self.restart) % PORTS
