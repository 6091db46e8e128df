"""What a run ran on, for environment.json: versions, hardware and commit."""

import os
import platform
import socket
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

PACKAGES = ("torch", "torchvision", "ffcv", "numba", "numpy", "scipy")


def environment(precision: str, ranks: int, threads: int, on_gpu: bool) -> dict[str, Any]:
    """The content of environment.json, as this rank sees it."""
    return {
        "git": _git_commit(),
        "command": sys.argv,
        "versions": {"python": platform.python_version()} | {name: version(name) for name in PACKAGES},
        "host": socket.gethostname(),
        "device": _gpu() if on_gpu else _processor(),
        "ranks": ranks,
        "threads": threads,
        "precision": precision,
    }


def _git_commit() -> str | None:
    if named := os.environ.get("CALIBRATEMIX_COMMIT"):  # of the checkout that this copy of the code was taken from
        return named
    root = Path(__file__).parent
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def _gpu() -> str:
    import torch  # the caller has it already; nobody else who reads or writes run folders needs it

    return torch.cuda.get_device_name()


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")
