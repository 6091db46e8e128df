"""Collectives on two gloo ranks, and the identity on one."""

from typing import Any

import torch
from torch import nn

from pipeline import distributed
from pipeline.distributed import Ranks
from tests.ranks import alone, on_ranks


def collectives(ranks: Ranks) -> dict[str, Any]:
    r = ranks.rank
    values, labels, features = torch.tensor([r + 0.5]), torch.tensor([2**24 - 1 - r]), torch.full((1, 3), float(r))
    model = nn.BatchNorm1d(2)
    model.running_mean.fill_(r)
    distributed.average_buffers(model)
    rows = torch.full((4, 2), r + 1, dtype=torch.uint8)
    rows[1::2] = 0
    return {
        "columns": distributed.gather_columns(values, labels, features),
        "scattered": distributed.reduce_scatter(rows),
        "mean": distributed.all_reduce_mean(values),
        "buffers": (model.running_mean.tolist(), model.running_var.tolist(), model.num_batches_tracked.item()),
        "object": distributed.broadcast_object({"from": r}),
        "double": distributed.gather_columns(values.double() / 3)[0],
    }


def test_two_ranks() -> None:
    zero, one = on_ranks(2, collectives)
    for got in (zero, one):
        values, labels, features = got["columns"]
        assert values.tolist() == [0.5, 1.5]
        assert (labels.tolist(), labels.dtype) == ([2**24 - 1, 2**24 - 2], torch.int64)
        assert features.tolist() == [[0.0] * 3, [1.0] * 3]
        assert got["mean"].tolist() == [1.0]
        assert got["buffers"] == ([0.5, 0.5], [1.0, 1.0], 0)
        assert got["object"] == {"from": 0}
        assert got["double"].tolist() == [0.5 / 3, 1.5 / 3]
    assert zero["scattered"].tolist() == one["scattered"].tolist() == [[3, 3], [0, 0]]


def test_one_rank_changes_nothing() -> None:
    got = alone(collectives)
    assert [c.tolist() for c in got["columns"]] == [[0.5], [2**24 - 1], [[0.0] * 3]]
    assert got["scattered"].tolist() == [[1, 1], [0, 0]] * 2
    assert got["mean"].tolist() == [0.5]
