"""Collectives on two gloo ranks, and the identity on one."""

from typing import Any

import pytest
import torch

from pipeline import distributed
from pipeline.distributed import Ranks
from tests.support.ranks import alone, on_ranks


def collectives(ranks: Ranks) -> dict[str, Any]:
    r = ranks.rank
    values, labels, features = torch.tensor([r + 0.5]), torch.tensor([2**24 - 1 - r]), torch.full((1, 3), float(r))
    rows = torch.full((4, 2), r + 1, dtype=torch.uint8)
    rows[1::2] = 0
    return {
        "columns": distributed.gather_columns(values, labels, features),
        "scattered": distributed.reduce_scatter(rows),
        "first": distributed.broadcast(values),
        "mean": distributed.all_reduce_mean(values),
        "object": distributed.broadcast_object({"from": r}),
        "objects": distributed.gather_objects({"from": r}, ranks.background),
        "double": distributed.gather_columns(values.double() / 3)[0],
    }


@pytest.mark.xdist_group("ranks")
def test_two_ranks() -> None:
    zero, one = on_ranks(2, collectives)
    for got in (zero, one):
        values, labels, features = got["columns"]
        assert values.tolist() == [0.5, 1.5]
        assert (labels.tolist(), labels.dtype) == ([2**24 - 1, 2**24 - 2], torch.int64)
        assert features.tolist() == [[0.0] * 3, [1.0] * 3]
        assert got["mean"].tolist() == [1.0]
        assert got["first"].tolist() == [0.5]
        assert got["objects"] == [{"from": 0}, {"from": 1}]
        assert got["object"] == {"from": 0}
        assert got["double"].tolist() == [0.5 / 3, 1.5 / 3]
    assert zero["scattered"].tolist() == one["scattered"].tolist() == [[3, 3], [0, 0]]


def test_one_rank_changes_nothing() -> None:
    got = alone(collectives)
    assert [c.tolist() for c in got["columns"]] == [[0.5], [2**24 - 1], [[0.0] * 3]]
    assert got["scattered"].tolist() == [[1, 1], [0, 0]] * 2
    assert got["mean"].tolist() == got["first"].tolist() == [0.5]
