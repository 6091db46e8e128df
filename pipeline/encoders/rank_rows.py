"""Rows that ranks computed, joined on rank 0 by way of files: they may be too many for every rank's memory."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.distributed import Ranks, barrier

Rows = dict[str, NDArray[np.float32]]


def join_rows(folder: Path, rows: Rows, ranks: Ranks) -> Rows | None:
    """Arrays [n, ...] of each rank -> [N, ...] in rank order on rank 0, None on the others. Collective.

    ``folder`` is one that all ranks share.
    """
    if ranks.rank:
        np.savez(_file(folder, ranks.rank), **rows)  # type: ignore[arg-type]
    barrier()
    joined = None
    if ranks.is_main:
        joined = rows if ranks.world == 1 else _joined(folder, rows, ranks.world)
    barrier()  # the files are read
    if ranks.rank:
        _file(folder, ranks.rank).unlink()
    return joined


def _joined(folder: Path, rows: Rows, world: int) -> Rows:
    others = [np.load(_file(folder, rank)) for rank in range(1, world)]
    return {name: np.concatenate([mine, *(other[name] for other in others)]) for name, mine in rows.items()}


def _file(folder: Path, rank: int) -> Path:
    return folder / f".annotation.rank-{rank:03d}.npz"
