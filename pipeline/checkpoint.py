"""Checkpoints by torch.distributed.checkpoint: everything a run needs to go on as if it never stopped.

``checkpoints/step-00001234/`` appears complete or not at all: ranks write into a hidden folder that rank 0
renames. Sharded tensors are saved as DTensors, so a checkpoint does not remember the number of ranks.
"""

import shutil
from pathlib import Path
from typing import Any

import torch.distributed.checkpoint as dcp
from torch import Tensor
from torch.distributed.tensor import DTensor, Shard

from pipeline.distributed import Ranks, barrier, broadcast_object

KEEP = 2


def shard_rows(local: dict[str, Tensor], ranks: Ranks) -> dict[str, DTensor]:
    """This rank's equal part of the rows of each global tensor, without a copy."""
    return {k: DTensor.from_local(part, ranks.mesh, [Shard(0)], run_check=False) for k, part in local.items()}


def save(folder: Path, step: int, state: dict[str, Any], ranks: Ranks) -> None:
    """Writes ``state`` as the checkpoint of ``step`` and removes all but the newest KEEP. Collective."""
    final, partial = folder / f"step-{step:08d}", folder / f".step-{step:08d}.partial"
    if ranks.is_main:
        folder.mkdir(parents=True, exist_ok=True)
        for leftover in folder.glob(".step-*.partial"):
            shutil.rmtree(leftover)
    barrier()
    dcp.save(state, checkpoint_id=partial)
    if ranks.is_main:
        if final.exists():
            shutil.rmtree(final)
        partial.rename(final)
        for old in complete(folder)[:-KEEP]:
            shutil.rmtree(old)
    barrier()


def complete(folder: Path) -> list[Path]:
    """Finished checkpoints, oldest first. DCP writes ``.metadata`` last."""
    return sorted(p for p in folder.glob("step-*") if (p / ".metadata").is_file())


def load_newest(folder: Path, state: dict[str, Any], ranks: Ranks) -> bool:
    """Fills ``state`` in place from the newest complete checkpoint; False where there is none. Collective."""
    newest = broadcast_object(next(reversed(complete(folder)), None) if ranks.is_main else None)
    if newest is None:
        return False
    dcp.load(state, checkpoint_id=newest)
    return True
