"""Checkpoints: complete or absent, the newest counts, any number of ranks."""

from pathlib import Path
from typing import Any

import torch

from pipeline import checkpoint
from pipeline.distributed import Ranks
from tests.ranks import alone, on_ranks


def rows(ranks: Ranks, num: int = 12) -> torch.Tensor:
    each = num // ranks.world
    return torch.arange(num).reshape(num, 1)[ranks.rank * each : (ranks.rank + 1) * each].float()


def state(ranks: Ranks, table: torch.Tensor, weight: float, step: int) -> dict[str, Any]:
    return {
        "model": {"w": torch.full((2,), weight)},
        "sharded": checkpoint.shard_rows({"t": table}, ranks),
        "progress": {"step": step, "best": {"error": step / 7}},
        "empty": {},
    }


def write(ranks: Ranks, folder: Path, steps: list[int]) -> None:
    for step in steps:
        checkpoint.save(folder, step, state(ranks, rows(ranks) + step, step, step), ranks)


def read(ranks: Ranks, folder: Path) -> Any:
    table = torch.zeros(12 // ranks.world, 1)
    found = state(ranks, table, 0, 0)
    ok = checkpoint.load_newest(folder, found, ranks)
    return ok, table, found["model"]["w"].tolist(), found["progress"]


def test_round_trip_over_ranks(tmp_path: Path) -> None:
    on_ranks(2, write, tmp_path, [1, 2, 30])
    assert [p.name for p in checkpoint.complete(tmp_path)] == ["step-00000002", "step-00000030"]
    ok, table, weight, progress = alone(read, tmp_path)
    assert ok
    assert torch.equal(table, torch.arange(12).reshape(12, 1) + 30.0)
    assert (weight, progress) == ([30.0, 30.0], {"step": 30, "best": {"error": 30 / 7}})
    parts = on_ranks(3, read, tmp_path)
    assert torch.equal(torch.cat([p[1] for p in parts]), table)


def test_what_a_kill_leaves_is_not_taken(tmp_path: Path) -> None:
    alone(write, tmp_path, [1])
    (tmp_path / ".step-00000002.partial").mkdir()
    (tmp_path / "step-00000003").mkdir()  # no .metadata: not complete
    assert alone(read, tmp_path)[3]["step"] == 1
    alone(write, tmp_path, [2])
    assert not (tmp_path / ".step-00000002.partial").exists()


def test_nothing_to_load(tmp_path: Path) -> None:
    assert not alone(read, tmp_path)[0]
