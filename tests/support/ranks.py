"""Runs a function on real gloo ranks, each a process of its own."""

import os
import pickle
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.multiprocessing as multiprocessing

from pipeline import distributed


def on_ranks(world: int, function: Callable[..., Any], *arguments: Any) -> list[Any]:
    """``function(ranks, *arguments)`` on ``world`` ranks; their results in rank order. ``function`` is importable."""
    with tempfile.TemporaryDirectory() as folder:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        multiprocessing.spawn(_rank, (world, port, folder, function, arguments), nprocs=world)
        return [pickle.loads((Path(folder) / str(rank)).read_bytes()) for rank in range(world)]


def _rank(
    rank: int, world: int, port: int, folder: str, function: Callable[..., Any], arguments: tuple[Any, ...]
) -> None:
    os.environ |= {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(world),
        "LOCAL_WORLD_SIZE": str(world),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
    torch.set_num_threads(1)
    ranks = distributed.start()
    try:
        (Path(folder) / str(rank)).write_bytes(pickle.dumps(function(ranks, *arguments)))
        distributed.barrier()
    finally:
        distributed.stop()


def alone(function: Callable[..., Any], *arguments: Any) -> Any:
    """``function(ranks, *arguments)`` in this process, as a group of one."""
    ranks = distributed.start()
    try:
        return function(ranks, *arguments)
    finally:
        distributed.stop()
