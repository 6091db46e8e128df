"""Runs a function on real gloo ranks, each a process of its own, or as a group of one in this process."""

from collections.abc import Callable
from typing import Any

from pipeline import distributed
from tests.support.team import TEAM


def on_ranks(world: int, function: Callable[..., Any], *arguments: Any) -> list[Any]:
    """``function(ranks, *arguments)`` on ``world`` ranks; their results in rank order. ``function`` is importable.

    Raises RankError where a rank raises or dies. Mark the test ``xdist_group("ranks")``: one team serves them all.
    """
    return TEAM.run(world, function, arguments)


def alone(function: Callable[..., Any], *arguments: Any) -> Any:
    """``function(ranks, *arguments)`` in this process, as a group of one."""
    ranks = distributed.start()
    try:
        return function(ranks, *arguments)
    finally:
        distributed.stop()
