"""What the machine has."""

import os
import platform
import shutil
import subprocess
from importlib.metadata import version

from gpu_check.runs import Place

PACKAGES = ("torch", "torchvision", "ffcv", "numba", "numpy")


def usable_gpus() -> int:
    """How many GPUs torch can compute on."""
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def machine(place: Place) -> list[str]:
    """Devices with driver and memory, versions, cores."""
    import torch

    said = [f"Python {platform.python_version()}", *(f"{name} {version(name)}" for name in PACKAGES)]
    if place.gpus:
        nccl = ".".join(map(str, torch.cuda.nccl.version()))
        said += [f"CUDA {torch.version.cuda}", f"cuDNN {torch.backends.cudnn.version()}", f"NCCL {nccl}"]
    return [*devices(place), f"{len(os.sched_getaffinity(0))} cores", *said]


def devices(place: Place) -> list[str]:
    """As nvidia-smi names them; by torch where it is not installed."""
    import torch

    if not place.gpus:
        return ["no GPU: pretended"]
    if shutil.which("nvidia-smi"):
        query = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
        answer = subprocess.run(query, capture_output=True, text=True)
        if answer.returncode == 0:
            return [f"{place.gpus} GPUs", *dict.fromkeys(answer.stdout.strip().splitlines())]
    properties = [torch.cuda.get_device_properties(number) for number in range(place.gpus)]
    return [f"{each.name}, {each.total_memory / 2**30:.0f} GiB" for each in properties]
