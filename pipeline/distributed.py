"""Ranks and collectives. The only file that imports torch.distributed's process groups.

Every collective takes and returns plain tensors, has a fixed shape and no host synchronisation of its
own; with one rank each is the identity, so the callers have no branch on the number of ranks.
"""

import ctypes
import os
import signal
import sys
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh

from pipeline import devices

PR_SET_PDEATHSIG = 1  # linux/prctl.h
# Newer torch has new names for these and warns at the old ones.
ALL_GATHER = "all_gather_single" if hasattr(dist, "all_gather_single") else "all_gather_into_tensor"
REDUCE_SCATTER = "reduce_scatter_single" if hasattr(dist, "reduce_scatter_single") else "reduce_scatter_tensor"


@dataclass(frozen=True, slots=True)
class Ranks:
    """This process among all: ``rank`` of ``world``, computing on ``device``."""

    rank: int
    world: int
    device: torch.device
    mesh: DeviceMesh  # on the device
    host_mesh: DeviceMesh  # of the same ranks, for tensors in host memory
    background: dist.ProcessGroup  # gloo, for one thread beside the step
    store: dist.Store  # what ranks can say to each other outside collectives

    @property
    def is_main(self) -> bool:
        return self.rank == 0


def launched_world() -> tuple[int, int]:
    """(rank, world) as torchrun's environment says, before any process group exists."""
    return int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))


def local_world() -> int:
    """How many ranks share this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", 1))


def start(timeout: timedelta = timedelta(minutes=30)) -> Ranks:
    """Joins the process group (gloo on CPU, NCCL on CUDA); a plain ``python`` start is a group of one.

    Raises ValueError where this rank's GPU cannot be had.
    """
    devices.check()
    rank, world = launched_world()
    device = devices.take()
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    if "RANK" in os.environ:
        _die_with_parent()
    store = _launchers_store(timeout) if "RANK" in os.environ else dist.HashStore()
    dist.init_process_group(backend, store=store, rank=rank, world_size=world, timeout=timeout)
    mesh, host_mesh = (init_device_mesh(kind, (world,)) for kind in (device.type, "cpu"))
    background = dist.new_group(backend="gloo", timeout=timeout)
    assert isinstance(background, dist.ProcessGroup)  # every rank is in it
    return Ranks(rank, world, device, mesh, host_mesh, background, dist.PrefixStore("calibratemix", store))


def _launchers_store(timeout: timedelta) -> dist.Store:
    """torchrun keeps one store over its restarts, also the addresses of dead ranks: each attempt has a part of it."""
    store = next(dist.rendezvous("env://", timeout=timeout))[0]
    return dist.PrefixStore(f"attempt-{os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)}", store)


def stop() -> None:
    """Leaves the process group."""
    if dist.is_initialized():
        dist.destroy_process_group()


def _die_with_parent() -> None:
    """A killed torchrun otherwise leaves ranks behind that go on writing into the run folder."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def gather_columns(*columns: Tensor) -> list[Tensor]:
    """All ranks' rows of several arrays of one length, in rank order, in ONE collective.

    Each column is [n] or [n, D]; the results are [W*n] or [W*n, D] in the column's own dtype. They travel
    side by side in the widest floating dtype among them, which holds integers below 2^24 (float32) exactly.
    """
    if dist.get_world_size() == 1:
        return list(columns)
    wide = torch.float64 if any(c.dtype == torch.float64 for c in columns) else torch.float32
    flat = [c.reshape(len(c), -1).to(wide) for c in columns]
    everyone = all_gather(torch.cat(flat, dim=1))
    parts = everyone.split([f.shape[1] for f in flat], dim=1)
    return [part.reshape(len(everyone), *c.shape[1:]).to(c.dtype) for part, c in zip(parts, columns, strict=True)]


def all_gather(rows: Tensor) -> Tensor:
    """[n, ...] of each rank -> [W*n, ...] on every rank, in rank order."""
    world = dist.get_world_size()
    if world == 1:
        return rows
    everyone = rows.new_empty((world * len(rows), *rows.shape[1:]))
    getattr(dist, ALL_GATHER)(everyone, rows.contiguous())
    return everyone


def reduce_scatter(rows: Tensor) -> Tensor:
    """[W*n, ...] of each rank -> [n, ...]: the sum over ranks of this rank's stretch."""
    world = dist.get_world_size()
    if world == 1:
        return rows
    mine = rows.new_empty((len(rows) // world, *rows.shape[1:]))
    getattr(dist, REDUCE_SCATTER)(mine, rows.contiguous())
    return mine


def all_reduce_sum(values: Tensor) -> Tensor:
    """The sum over ranks, as a new tensor of the same shape."""
    total = values.clone()
    if dist.get_world_size() > 1:
        dist.all_reduce(total)
    return total


def broadcast(values: Tensor) -> Tensor:
    """Rank 0's ``values`` on every rank, which gives a tensor of the same shape and dtype."""
    if dist.get_world_size() == 1:
        return values
    agreed = values.clone()
    dist.broadcast(agreed, src=0)
    return agreed


def all_reduce_mean(values: Tensor) -> Tensor:
    """The mean over ranks, as a new tensor of the same shape."""
    return all_reduce_sum(values) / dist.get_world_size()


def broadcast_object(value: Any) -> Any:
    """Rank 0's picklable ``value`` on every rank (slow: not for the step)."""
    if dist.get_world_size() == 1:
        return value
    box = [value]
    dist.broadcast_object_list(box, src=0)
    return box[0]


def gather_objects(value: Any, group: dist.ProcessGroup | None = None) -> list[Any]:
    """Every rank's picklable ``value`` on every rank, in rank order (slow: not for the step)."""
    everyone = [value] * dist.get_world_size()
    if len(everyone) > 1:
        dist.all_gather_object(everyone, value, group=group)
    return everyone


def barrier(group: dist.ProcessGroup | None = None) -> None:
    """Returns once every rank has come here."""
    if dist.get_world_size() > 1:
        dist.barrier(group)


def own_group(timeout: timedelta = timedelta(minutes=30)) -> str:
    """The name of a new group of all ranks, whose collectives do not queue behind those of others. Collective."""
    group = dist.new_group(timeout=timeout)
    assert isinstance(group, dist.ProcessGroup)  # every rank is in it
    return group.group_name


def gather_in_group(values: Tensor, group: str, world: int) -> Tensor:
    """n values of each of ``world`` ranks -> [W, n] on every rank, in rank order, by the group of that name."""
    everyone = torch.ops._c10d_functional.all_gather_into_tensor(values, world, group)
    waited: Tensor = torch.ops._c10d_functional.wait_tensor(everyone)
    return waited.view(world, -1)


def sum_in_group_(values: Tensor, group: str) -> Tensor:
    """``values`` overwritten by their sum over the ranks of the group of that name."""
    torch.ops._c10d_functional.wait_tensor(torch.ops._c10d_functional.all_reduce_(values, "sum", group))
    return values
