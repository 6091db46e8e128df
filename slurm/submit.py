"""Runs a grid: ``python slurm/submit.py --grid configs/table3.yaml`` in the evening, collect.py in the morning.

Finished cells are skipped, and so are those that wait or run; failed and preempted ones go on from their newest
checkpoint. Jobs requeue themselves at the time limit, when preempted and after a crash. The same command is safe at
any time. ``--status`` shows where each run stands, ``--dry-run`` what would be done, and writes nothing.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from pipeline.runs.host_tuning import cores
from slurm import cluster, grid, pool, submission, view
from slurm.cluster import Resources
from slurm.grid import Cell, Grid
from slurm.situation import OPEN, Situation, situation
from slurm.submission import Options, Submission


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code: 2 for a user's mistake, said in one line."""
    given = _parser().parse_args(arguments)
    try:
        found = grid.load(given.grid, given.set, given.root, given.only)
        if given.status:
            width = None if sys.stdout.isatty() else 200  # a pipe has none, and rich would cut at 80
            view.watch(Console(highlight=False, width=width), lambda: look(found))
            return 0
        where = given.cluster or ("slurm" if cluster.is_here() else "local")
        options = _options(given, where)
        return dry_run(found, options, where) if given.dry_run else start(found, options, where)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def look(found: Grid) -> list[tuple[Cell, Situation]]:
    """Every run of the grid and where it stands."""
    queue = cluster.queue()
    return [(cell, situation(cell, queue)) for cell in found.runs().values()]


def start(found: Grid, options: Options, where: str) -> int:
    """Starts what is open; on SLURM returns at once."""
    seen = look(found)
    cells = [cell for cell, now in seen if now.kind in OPEN]
    _say(view.counts([now for _, now in seen]))
    if not cells:
        _say("nothing to start")
        return 0
    new = Submission(found, options)
    if problems := _problems(new, cells, where):
        for problem in problems:
            print(f"error: {problem}", file=sys.stderr)
        return 2
    new.open()
    _say(f"{where}: {len(cells)} runs under {found.root}, logs and scripts in {new.folder}, code {new.code}")
    if where == "local":
        return pool.run(new, cells, pool.slots(options.resources, options.parallelism), _say)
    if where == "debug":
        return pool.debug(new, cells, _say)
    ids = new.submit(cells)
    arrays = list(dict.fromkeys(job.partition("_")[0] for job in ids))
    _say(f"submitted {len(ids)} runs as {', '.join(arrays)} ({new.name}); watch with --status, stop with scancel")
    return 0


def dry_run(found: Grid, options: Options, where: str) -> int:
    """What ``start`` would do, without data, SLURM or a written byte; what would stop it is a warning."""
    seen, new = look(found), Submission(found, options)
    cells = [cell for cell, now in seen if now.kind in OPEN]
    for cell, now in seen:
        print(f"{now.kind:<10} {cell.folder}  ({cell.method}, {cell.dataset}, {cell.labels}, seed {cell.seed})")
    if where == "slurm" and cells:
        print(f"\n{new.script(min(len(cells), _array_size()))}")
    for problem in _problems(new, cells, where):
        print(f"warning: {problem}")
    hours = [found.hours(cell) for cell in cells]
    known = [h for h in hours if h is not None]
    without = f", {len(hours) - len(known)} runs without an estimate" if len(known) < len(hours) else ""
    print(f"GPU-hours: about {sum(known):,.0f} for {len(cells)} runs to start{without}")
    print(f"runs: {len(seen)}")
    return 0


def _problems(new: Submission, cells: Sequence[Cell], where: str) -> list[str]:
    """Everything that would stop the runs later, a line each."""
    wanted = new.options.resources
    try:
        if where == "slurm":
            found = submission.time_problems(new.options) + (cluster.problems(wanted) or _refused(new))
        elif wanted.nodes > 1:
            found = [f"--nodes {wanted.nodes}: --cluster {where} is this machine alone"]
        elif where == "local" and not pool.slots(wanted, 1):
            found = [f"--gpus-per-node {wanted.gpus}: this machine has {len(pool.visible_gpus())}"]
        else:
            found = []
    except ValueError as error:
        found = [str(error)]
    return submission.data_problems(cells) + (found or submission.rank_problems(cells, wanted.ranks))


def _refused(new: Submission) -> list[str]:
    said = cluster.refusal(new.script(1))
    return [f"sbatch: {said}"] if said else []


def _array_size() -> int:
    try:
        return cluster.max_array_size()
    except ValueError:
        return 1000


def _options(given: argparse.Namespace, where: str) -> Options:
    """Defaults that fit the cluster: a GPU and eight cores a rank on SLURM, what there is on this machine."""
    gpus = given.gpus_per_node
    if gpus is None:
        gpus = 1 if where == "slurm" or (where == "local" and pool.visible_gpus()) else 0
    tasks = given.tasks_per_node or max(1, gpus)
    cpus = given.cpus_per_task or (8 if where == "slurm" else _share(tasks, gpus))
    extra = [text.partition("=") for text in given.sbatch]  # "hold" is a flag, "nice=5" is not
    return Options(
        Resources(
            given.nodes, gpus, tasks, cpus, int(cluster.minutes(given.time)), given.mem,
            given.partition, given.qos, given.account,
        ),
        given.array_parallelism,
        given.signal_delay,
        tuple((name.lstrip("-"), value if equals else True) for name, equals, value in extra),
    )  # fmt: skip


def _share(tasks: int, gpus: int) -> int:
    """Cores of each rank on this machine with all GPUs at work; without GPUs one, and more cells at a time."""
    if not gpus:
        return 1
    places = max(1, len(pool.visible_gpus()) // gpus)
    return max(1, cores() // (places * tasks))


def _say(text: str) -> None:
    print(text, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="submit.py", description="Run a grid on SLURM or on this machine.")
    add = parser.add_argument
    add("--grid", required=True, metavar="FILE", help="as configs/table1.yaml")
    add("--cluster", choices=("slurm", "local", "debug"), help="default: slurm where there is sbatch, else local")
    add("--dry-run", action="store_true", help="show the runs, an estimate and the job script; write nothing")
    add("--status", action="store_true", help="show where each run stands")
    add("--only", metavar="KEY=VALUE,...", help="some cells: 'dataset=cifar10|svhn,seed=0' (also method, labels)")
    add("--set", nargs="+", action="extend", default=[], metavar="a.b=c", help="options of the trainer, for every cell")
    add("--root", type=Path, help="the folder of all runs, instead of the grid's (runs)")
    add("--nodes", type=int, default=1)
    add(
        "--gpus-per-node", type=int, help="one rank each; 0 trains on the CPU (default: 1 on SLURM, else what there is)"
    )
    add("--tasks-per-node", type=int, help="ranks a node (default: one a GPU)")
    add("--cpus-per-task", type=int, help="cores a rank (default: 8 on SLURM)")
    add("--time", default="1-00:00:00", help="limit of a job, not of a run: it goes on in the next (default: a day)")
    add("--mem", type=float, metavar="GB", help="memory of a node")
    add("--partition")
    add("--qos")
    add("--account")
    add("--array-parallelism", type=int, default=256, metavar="N", help="jobs at a time")
    add(
        "--signal-delay",
        type=int,
        default=submission.SIGNAL_DELAY,
        metavar="S",
        help="seconds to save before the limit",
    )
    add("--sbatch", nargs="+", action="extend", default=[], metavar="NAME=VALUE", help="any other option of sbatch")
    return parser


if __name__ == "__main__":
    sys.exit(main())
