"""The device of this rank: which it is, whether it can be used, and that the threads of ours stay on it."""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch

SHARING = "CALIBRATEMIX_GPU_SHARED_BY"  # how many processes share each GPU; slurm/ sets it (submit.py --per-gpu)
USABLE = 0.95  # of a GPU's memory, among those that share it; the rest is for their contexts
HIDDEN = {"", "-1", "NoDevFiles"}  # as CUDA_VISIBLE_DEVICES: no GPU; the last is SLURM's
HIDE = "train on the CPU with CUDA_VISIBLE_DEVICES= before the command"


def take() -> torch.device:
    """This rank's GPU, made current, or the CPU where there is none."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    device = torch.device("cuda", _local_rank())
    torch.cuda.set_device(device)
    if (processes := int(os.environ.get(SHARING, 1))) > 1:
        torch.cuda.set_per_process_memory_fraction(USABLE / processes, device)
    return device


def check() -> None:
    """ValueError where there is no GPU for each rank of this machine, or where it has GPUs that cannot be used."""
    if not torch.cuda.is_available():
        if problem := unusable_gpu():
            raise ValueError(f"{problem} See make doctor, or {HIDE}")
        return
    have = torch.cuda.device_count()
    # torchrun shows all GPUs to each rank; other launchers may bind one to each, which then is number 0.
    torchruns = "TORCHELASTIC_RUN_ID" in os.environ
    ranks = int(os.environ.get("LOCAL_WORLD_SIZE", 1)) if torchruns else _local_rank() + 1
    if ranks > have:
        raise ValueError(
            f"{ranks} ranks, but {have} GPUs on this machine: start {have} (--nproc_per_node=gpu), or {HIDE}"
        )


def unusable_gpu(nodes: Path = Path("/dev")) -> str:
    """Why CUDA is not available on a machine with a GPU, as a sentence; "" where it has none, or none is to be used.

    A GPU that this process may not open is not its: a job without GPUs on a node that has some.
    """
    if os.environ.get("CUDA_VISIBLE_DEVICES", "all").split(",")[0].strip() in HIDDEN:
        return ""
    found = next((node for node in sorted(nodes.glob("nvidia[0-9]*")) if _is_allowed(node)), None)
    return f"{found}: a GPU that CUDA cannot use ({_reason()})." if found else ""


def for_threads() -> Callable[[], None]:
    """What a new thread of this process is to call first.

    CUDA starts each thread on device 0, where its first operation would make a context: half a gigabyte for every
    rank, an error where GPUs are exclusive.
    """
    if not torch.cuda.is_available():
        return lambda: None
    return partial(torch.cuda.set_device, torch.cuda.current_device())


def _local_rank() -> int:
    return int(os.environ.get("LOCAL_RANK", 0))


def _is_allowed(node: Path) -> bool:
    try:
        os.close(os.open(node, os.O_RDWR))
    except PermissionError:
        return False
    except OSError:
        return True  # its driver is gone
    return True


def _reason() -> str:
    try:
        torch.cuda.init()
    except (RuntimeError, AssertionError) as error:
        return str(error).partition("\n")[0].partition(". ")[0].rstrip(".")
    return "no device"
