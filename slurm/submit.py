"""Runs a grid: ``python slurm/submit.py --grid configs/table3.yaml`` in the evening, collect.py in the morning.

Runs that are finished, waiting or running are skipped; failed and preempted ones resume from their newest checkpoint.
Jobs requeue themselves at the time limit, when preempted and after a crash. The same command is safe at any time.
``--status`` shows where each run stands, ``--dry-run`` what would be done, and writes nothing.
"""

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path

from slurm.grids import grid
from slurm.grids.grid import Cell, Grid
from slurm.jobs import cluster, local
from slurm.jobs.arguments import add_job_arguments, job_options
from slurm.jobs.checks import problems
from slurm.jobs.resources import JobOptions
from slurm.jobs.submission import Submission
from slurm.outcome.status import STARTABLE, RunStatus, run_status, summary


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code: 2 for a user's mistake, explained in one line."""
    given = _parser().parse_args(arguments)
    try:
        found = grid.load(given.grid, given.set, given.root, given.only)
        if given.status:
            return show_status(found)
        where = given.cluster or ("slurm" if cluster.is_available() else "local")
        options = job_options(given, where)
        return dry_run(found, options, where) if given.dry_run else start(found, options, where)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def statuses(found: Grid) -> list[tuple[Cell, RunStatus]]:
    """Every run of the grid and where it stands."""
    queue = cluster.queue()
    return [(cell, run_status(cell, queue)) for cell in found.runs().values()]


def show_status(found: Grid) -> int:
    """The table of all runs, live on a terminal."""
    from rich.console import Console  # here, as only this needs it

    from slurm.outcome.status_table import watch

    width = None if sys.stdout.isatty() else 200  # a pipe has none, and rich would cut at 80
    watch(Console(highlight=False, width=width), lambda: statuses(found))
    return 0


def start(found: Grid, options: JobOptions, where: str) -> int:
    """Starts or resumes what can be; on SLURM returns at once."""
    seen = statuses(found)
    cells = [cell for cell, status in seen if status.state in STARTABLE]
    _say(summary([status for _, status in seen]))
    if not cells:
        _say("nothing to start")
        return 0
    new = Submission(found, options)
    if wrong := problems(new, cells, where):
        for problem in wrong:
            print(f"error: {problem}", file=sys.stderr)
        return 2
    new.open()
    _say(f"{where}: {len(cells)} runs under {found.root}, logs and scripts in {new.folder}, code {new.code}")
    if where == "local":
        return local.run(new, cells, local.find_slots(options.resources, options.parallelism), _say)
    if where == "debug":
        return local.debug(new, cells, _say)
    ids = new.submit(cells)
    arrays = list(dict.fromkeys(job.partition("_")[0] for job in ids))
    _say(f"submitted {len(ids)} runs as {', '.join(arrays)} ({new.name}); watch with --status, stop with scancel")
    return 0


def dry_run(found: Grid, options: JobOptions, where: str) -> int:
    """What ``start`` would do, without data, SLURM or a written byte; what would stop it becomes a warning."""
    seen, new = statuses(found), Submission(found, options)
    cells = [cell for cell, status in seen if status.state in STARTABLE]
    for cell, status in seen:
        print(f"{status.state:<10} {cell.folder}  ({cell.method}, {cell.dataset}, {cell.labels}, seed {cell.seed})")
    if where == "slurm" and cells:
        print(f"\n{new.script(min(math.ceil(len(cells) / options.resources.per_gpu), _array_size()))}")
    for problem in problems(new, cells, where):
        print(f"warning: {problem}")
    hours = [found.hours(cell) for cell in cells]
    known = [h for h in hours if h is not None]
    without = f", {len(hours) - len(known)} runs without an estimate" if len(known) < len(hours) else ""
    alone = ", each with a GPU for itself" if options.resources.per_gpu > 1 else ""
    missing = "not measured; benchmarks/gpu_hours.py FILE measures a step here and gives the field gpu_hours"
    counted = f"about {sum(known):,.0f} for {len(cells)} runs to start{alone}{without}"
    print(f"GPU-hours: {counted if known or not cells else missing}")
    print(f"runs: {len(seen)}")
    return 0


def _array_size() -> int:
    try:
        return cluster.max_array_size()
    except ValueError:
        return 1000


def _say(text: str) -> None:
    print(text, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="submit.py", description="Run a grid of trainings on SLURM or locally.")
    add = parser.add_argument
    add("--grid", required=True, metavar="FILE", help="grid file: the runs to make, such as configs/table1.yaml")
    where = "where to run: a SLURM cluster, this machine, or one run after another in this terminal"
    add("--cluster", choices=("slurm", "local", "debug"), help=f"{where} (default: slurm if installed, else local)")
    add("--dry-run", action="store_true", help="only show the runs, the estimated GPU-hours and the job script")
    add("--status", action="store_true", help="only show where each run stands, live on a terminal")
    only = (
        "take some of the grid's runs: conditions on dataset, method, labels and seed, such as 'dataset=cifar10|svhn'"
    )
    add("--only", metavar="KEY=VALUE,...", help=only)
    sets = "training options for every run, over those of the grid file (all of them: pipeline/train.py --help)"
    add("--set", nargs="+", action="extend", default=[], metavar="a.b=c", help=sets)
    add("--root", type=Path, metavar="DIR", help="folder that holds all runs (default: the grid file's, or runs)")
    add_job_arguments(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
