"""Checkpoints by torch.distributed.checkpoint: everything a run needs to go on as if it never stopped.

``checkpoints/step-00001234/`` appears complete or not at all: ranks write into a hidden folder, which rank 0 renames
once ``manifest.json`` names the size and the hash of every file in it. Tables are saved as DTensors, so a checkpoint
does not remember the number of ranks. A write that fails costs that checkpoint and nothing else.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch.distributed.checkpoint as dcp
from torch import Tensor
from torch.distributed.checkpoint import FileSystemWriter
from torch.distributed.checkpoint.staging import DefaultStager, StagingOptions
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, Shard

from pipeline import devices
from pipeline.distributed import Ranks, broadcast_object, gather_objects
from pipeline.runs.checkpoints import MANIFEST, checkpoint_folder, checkpoints, finished_checkpoints
from pipeline.runs.files import warn, write_atomically
from pipeline.training.failures import RunError

KEEP = 2
State = dict[str, dict[str, Any]]  # tensors that are alike on all ranks, numbers and strings; no containers
Tables = dict[str, dict[str, Tensor]]  # this rank's equal part of the rows of each


class Writer:
    """Writes a run's checkpoints into ``folder``, one at a time, while the run goes on. Every method is collective."""

    def __init__(self, folder: Path, ranks: Ranks) -> None:
        self.folder, self.ranks = folder, ranks
        cuda = ranks.device.type == "cuda"
        self.stager = DefaultStager(StagingOptions(cuda, False, False, cuda))  # pinned, copied without blocking
        self.thread = ThreadPoolExecutor(1, "checkpoint", initializer=devices.for_threads())
        self.under_way: Future[bool] | None = None
        self.step: int | None = None  # last begun

    def save(self, step: int, state: State, tables: Tables) -> None:
        """Copies everything into host memory and returns; a thread writes it. Waits for the write before this one."""
        if self.wait() and self.step == step:
            return
        # DCP flattens containers and restores the entries that the loading side asks for: of a dict that is empty
        # there, nothing. A value of one name is always restored.
        values = {f"{group}.{name}": value for group, part in state.items() for name, value in part.items()}
        containers = [name for name, value in values.items() if isinstance(value, dict | list | tuple | set)]
        assert not containers, containers
        staged: Any = self.stager.stage({"state": state, "tables": tables})
        self.step = step
        self.under_way = self.thread.submit(self._write, step, staged["state"], staged["tables"])

    def wait(self) -> bool:
        """Waits for the write under way. Whether the checkpoint last begun stands; the same on every rank."""
        return self.under_way is not None and self.under_way.result()

    def close(self) -> None:
        """Waits for the write under way and frees the copy. Not collective: after a crash the others may be gone."""
        self.thread.shutdown()
        self.stager.close()

    def _write(self, step: int, state: State, tables: Tables) -> bool:
        partial = self.folder / f".{checkpoint_folder(step)}.partial"
        try:
            self._on_main(lambda: _clear(self.folder, partial))
            whole = {**state, **_shard(tables, self.ranks.host_mesh)}
            # Everything is in host memory: without copying ahead DCP asks CUDA for nothing.
            files_of = FileSystemWriter(partial, per_thread_copy_ahead=0)
            dcp.save(whole, storage_writer=files_of, process_group=self.ranks.background)
            files = self._everyone(lambda: {p.name: _describe(p) for p in partial.glob(f"__{self.ranks.rank}_*")})
            self._on_main(lambda: _publish(partial, step, self.ranks.world, files))
        except (OSError, dcp.CheckpointException) as error:
            if self.ranks.is_main:
                free = f"{shutil.disk_usage(self.folder.parent).free >> 20} MiB free"
                warn(
                    f"checkpoint of step {step} not written: {_reason(error)} ({self.folder}, {free}); training goes on"
                )
                shutil.rmtree(partial, ignore_errors=True)
            return False
        return True

    def _on_main(self, work: Callable[[], None]) -> None:
        self._everyone(work if self.ranks.is_main else lambda: None)

    def _everyone(self, work: Callable[[], Any]) -> list[Any]:
        """``work()`` of every rank; the OSError of any rank is raised on all."""
        try:
            mine = work()
        except OSError as error:
            mine = error
        results = gather_objects(mine, self.ranks.background)
        for result in results:
            if isinstance(result, OSError):
                raise result
        return results


def load_newest(folder: Path, state: State, tables: Tables, ranks: Ranks) -> bool:
    """Fills both in place from the newest intact checkpoint, written by any number of ranks; False where there is none.

    A damaged one is named and set aside. RunError where none is intact. Collective.
    """
    candidates = broadcast_object(checkpoints(folder)[::-1] if ranks.is_main else None)
    for candidate in candidates:
        problems = damage(candidate, ranks)
        if not problems:
            whole = {**state, **_shard(tables, ranks.mesh)}
            dcp.load(whole, checkpoint_id=candidate, process_group=ranks.background)
            return True
        if ranks.is_main:
            warn(f"{candidate} is damaged ({problems[0]}) and is not used")
            candidate.rename(folder / f".{candidate.name}.damaged")
    if candidates:
        raise RunError(f"{folder}: no checkpoint there is intact; remove the run folder to start anew")
    return False


def damage(checkpoint: Path, ranks: Ranks) -> list[str]:
    """What has changed in a checkpoint since it was written; the same on every rank. Collective."""
    return [problem for found in gather_objects(_damage(checkpoint, ranks), ranks.background) for problem in found]


def _shard(tables: Tables, mesh: DeviceMesh) -> dict[str, dict[str, DTensor]]:
    """The global tables, without a copy."""
    return {
        group: {name: DTensor.from_local(rows, mesh, [Shard(0)], run_check=False) for name, rows in parts.items()}
        for group, parts in tables.items()
    }


def _describe(file: Path) -> dict[str, Any]:
    with file.open("rb") as opened:
        return {"bytes": file.stat().st_size, "sha256": hashlib.file_digest(opened, "sha256").hexdigest()}


def _damage(checkpoint: Path, ranks: Ranks) -> list[str]:
    """What is wrong with this rank's share of the files."""
    try:
        files = json.loads((checkpoint / MANIFEST).read_bytes())["files"]
        mine = sorted(files)[ranks.rank :: ranks.world]
        return [f"{name} has changed" for name in mine if _describe(checkpoint / name) != files[name]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        return [_reason(error)]


def _publish(partial: Path, step: int, world: int, files: list[dict[str, Any]]) -> None:
    """Makes the written folder the checkpoint of ``step`` and removes all but the newest KEEP."""
    found = {name: description for part in files for name, description in part.items()}
    found[".metadata"] = _describe(partial / ".metadata")
    write_atomically(partial / MANIFEST, json.dumps({"step": step, "ranks": world, "files": found}, indent=1))
    final = partial.with_name(checkpoint_folder(step))
    if final.exists():
        final.rename(partial.with_name(f".{final.name}.replaced"))
    partial.rename(final)
    _sync(final.parent)
    for old in [*finished_checkpoints(final.parent)[:-KEEP], *final.parent.glob(".step-*")]:
        shutil.rmtree(old)


def _clear(folder: Path, partial: Path) -> None:
    """Room for a new checkpoint: what a killed or failed write left goes."""
    folder.mkdir(parents=True, exist_ok=True)
    for leftover in folder.glob(".step-*.partial"):
        shutil.rmtree(leftover)
    partial.mkdir()


def _sync(folder: Path) -> None:
    """A rename survives a power failure once the folder itself is on disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _reason(error: BaseException) -> str:
    """One line; of DCP's collected failures the first."""
    if isinstance(error, dcp.CheckpointException):
        error = next(iter(error.failures.values()))[0]
    return next(iter(str(error).splitlines()), type(error).__name__)
