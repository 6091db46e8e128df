"""What would stop the runs of a submission later on, found before anything is written: one line for each problem."""

import functools
from collections.abc import Sequence

from pipeline.config import most_virtual_shards
from slurm.grids.grid import Cell
from slurm.jobs import cluster, gpus, local
from slurm.jobs.resources import JobOptions
from slurm.jobs.submission import Submission, data_folder, split_hashes


def problems(new: Submission, cells: Sequence[Cell], where: str) -> list[str]:
    """Everything that would stop ``cells`` with ``--cluster`` ``where``."""
    wanted = new.options.resources
    try:
        if where == "slurm":
            found = time_problems(new.options) + (cluster.resource_problems(wanted) or _refusal(new))
        elif wanted.nodes > 1:
            found = [f"--nodes {wanted.nodes}: --cluster {where} is this machine alone"]
        elif where == "local" and not local.find_slots(wanted, 1):
            found = [f"--gpus-per-node {wanted.gpus}: this machine has {len(gpus.visible_gpus())}"]
        else:
            found = []
    except ValueError as error:
        found = [str(error)]
    return data_problems(cells) + (found or rank_problems(cells, wanted.ranks))


def data_problems(cells: Sequence[Cell]) -> list[str]:
    """Data folders and labelled splits that are missing."""
    hashes = functools.cache(split_hashes)  # each manifest is read once
    found: dict[str, None] = {}
    for config in (cell.config for cell in cells):
        folder = data_folder(config)
        known = hashes(folder)
        if known is None:
            found[f"{folder}: no such data folder; make it with dataprep/make_beton.py, or --set data=DIR"] = None
        elif config.split_among(known) not in known:
            found[f"{folder}: no split {config.split_name}; add it with dataprep/make_beton.py"] = None
    return list(found)


def rank_problems(cells: Sequence[Cell], ranks: int) -> list[str]:
    """Data sets whose batches these ranks cannot share; of small data sets the trainer may refuse some more."""
    batches = {(cell.dataset, cell.config.batch.labelled, cell.config.unlabelled_batch) for cell in cells}
    wrong = {name for name, *sizes in batches if most_virtual_shards(*sizes) % ranks}
    return [f"{ranks} ranks do not divide the batches of {name}; use a power of two" for name in sorted(wrong)]


def time_problems(options: JobOptions) -> list[str]:
    """A time limit that leaves no time between the first step and the warning."""
    if options.resources.minutes * 60 >= 2 * options.signal_delay:
        return []
    return [f"--time {options.resources.minutes} min: less than twice --signal-delay {options.signal_delay} s"]


def _refusal(new: Submission) -> list[str]:
    reason = cluster.sbatch_refusal(new.script(1))
    return [f"sbatch: {reason}"] if reason else []
