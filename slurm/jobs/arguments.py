"""The command-line options of submit.py that say what jobs ask for."""

import argparse

from pipeline.runs.host_tuning import cores
from slurm.jobs.gpus import visible_gpus
from slurm.jobs.resources import SIGNAL_DELAY, JobOptions, Resources, minutes

CLUSTER_CORES = 8  # per rank, unless the user says otherwise


def add_job_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options that ``job_options`` reads."""
    add = parser.add_argument_group("resources of each job").add_argument
    add("--nodes", type=int, default=1, metavar="N", help="number of nodes (default: 1)")
    gpus = "GPUs per node, each with one rank; 0 trains on the CPU (default: 1 on SLURM, locally 1 where there is one)"
    add("--gpus-per-node", type=int, metavar="N", help=gpus)
    add("--tasks-per-node", type=int, metavar="N", help="ranks per node (default: one per GPU, at least one)")
    share = "number of runs side by side on each GPU, of whose memory each may take an equal part (default: 1)"
    add("--per-gpu", type=int, default=1, metavar="N", help=share)
    cpus = "CPU cores per rank (default: 8 per GPU on SLURM, locally an equal share of this machine's)"
    add("--cpus-per-task", type=int, metavar="N", help=cpus)
    limit = "time limit of a job, not of a run, which resumes in the next job; minutes, HH:MM:SS or D-HH:MM:SS"
    add("--time", default="1-00:00:00", metavar="LIMIT", help=f"{limit} (default: one day)")
    add("--mem", type=float, metavar="GB", help="memory per node in GB (default: the cluster's)")
    add("--partition", metavar="NAME", help="SLURM partition (default: the cluster's)")
    add("--qos", metavar="NAME", help="SLURM quality of service (default: the cluster's)")
    add("--account", metavar="NAME", help="SLURM account to charge (default: your own)")
    add("--array-parallelism", type=int, default=256, metavar="N", help="number of jobs at a time (default: 256)")
    delay = "seconds before the time limit at which a job saves its state and asks for a requeue (default: 120)"
    add("--signal-delay", type=int, default=SIGNAL_DELAY, metavar="S", help=delay)
    extra = "further options of sbatch without their dashes, such as constraint=a100 or exclusive"
    add("--sbatch", nargs="+", action="extend", default=[], metavar="NAME[=VALUE]", help=extra)


def job_options(given: argparse.Namespace, where: str) -> JobOptions:
    """With defaults that fit ``where``: a GPU and eight cores per rank on SLURM, what there is on this machine.

    Raises ValueError.
    """
    gpus = given.gpus_per_node
    if gpus is None:
        gpus = 1 if where == "slurm" or (where == "local" and visible_gpus()) else 0
    tasks = given.tasks_per_node or max(1, gpus)
    _check_sharing(given.per_gpu, where, gpus, given.nodes * tasks)
    resources = Resources(
        nodes=given.nodes,
        gpus=gpus,
        tasks=tasks,
        cpus=given.cpus_per_task or _default_cores(where, tasks, gpus, given.per_gpu),
        minutes=int(minutes(given.time)),
        memory_gb=given.mem,
        partition=given.partition,
        qos=given.qos,
        account=given.account,
        per_gpu=given.per_gpu,
    )
    extra = [text.partition("=") for text in given.sbatch]  # "hold" is a flag, "nice=5" is not
    return JobOptions(
        resources=resources,
        parallelism=given.array_parallelism,
        signal_delay=given.signal_delay,
        extra=tuple((name.lstrip("-"), value if equals else True) for name, equals, value in extra),
    )


def _check_sharing(per_gpu: int, where: str, gpus: int, ranks: int) -> None:
    """ValueError where runs cannot share a GPU."""
    if per_gpu < 1:
        raise ValueError(f"--per-gpu {per_gpu}: at least 1")
    if per_gpu == 1:
        return
    if where == "debug":
        raise ValueError(f"--per-gpu {per_gpu}: --cluster debug runs one after another; use --cluster local")
    if not gpus:
        raise ValueError(f"--per-gpu {per_gpu}: these runs use no GPU; leave it out, or give --gpus-per-node 1")
    if gpus > 1 or ranks > 1:
        raise ValueError(f"--per-gpu {per_gpu}: runs that share a GPU have one rank on one; leave out the other counts")


def _default_cores(where: str, tasks: int, gpus: int, per_gpu: int) -> int:
    """Cores of each rank: on SLURM eight for each GPU, here an equal share with all GPUs at work.

    Without GPUs one, so that more cells run at a time.
    """
    if where == "slurm":
        return max(1, CLUSTER_CORES // per_gpu)
    if not gpus:
        return 1
    cells = max(1, len(visible_gpus()) // gpus) * per_gpu
    return max(1, cores() // (cells * tasks))
