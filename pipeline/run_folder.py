"""The run folder: config.yaml, environment.json, metrics.jsonl, status.json, predictions.npz, result.json.

Only rank 0 writes. Files that say something about the whole run are replaced atomically; result.json is written
once and last, so its presence means finished.
"""

import io
import json
import os
import platform
import socket
import subprocess
import sys
import threading
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from numpy.typing import NDArray

from pipeline.options import Config

# Options that a continued run may change: where it lies and how it reports, not what it computes.
FREE = {"out", "data", "threads", "eval_batch", "log_every", "checkpoint_every"}
STALE_SECONDS = 120


class RunFolder:
    """The folder ``config.out``; nothing is created before ``open``."""

    def __init__(self, config: Config) -> None:
        self.path = Path(config.out)
        self.config = config
        self.metrics = self.path / "metrics.jsonl"
        self._lock = self.path / "lock.json"
        self._released = threading.Event()

    @property
    def is_finished(self) -> bool:
        return (self.path / "result.json").exists()

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    def check(self) -> None:
        """ValueError where the folder belongs to other options or is being written by another process."""
        saved = self.path / "config.yaml"
        if saved.exists() and (changed := _differences(yaml.safe_load(saved.read_text()), self.config.to_dict())):
            raise ValueError(f"{self.path}: holds a run with other options ({'; '.join(changed)}); choose another out=")
        if (owner := self._live_owner()) is not None:
            raise ValueError(
                f"{self.path}: process {owner['pid']} on {owner['host']} is writing this run; wait for it, "
                f"or choose another out="
            )

    def open(self, environment: dict[str, Any]) -> None:
        """Takes the folder and writes what explains it."""
        self.path.mkdir(parents=True, exist_ok=True)
        self._beat()
        threading.Thread(target=self._keep_beating, daemon=True).start()
        write_atomically(self.path / "config.yaml", yaml.safe_dump(self.config.to_dict(), sort_keys=False))
        write_atomically(self.path / "environment.json", json.dumps(environment, indent=1))

    def release(self) -> None:
        """Gives the folder free."""
        self._released.set()
        self._lock.unlink(missing_ok=True)

    def append(self, line: dict[str, Any]) -> None:
        """One line of metrics.jsonl."""
        with self.metrics.open("a") as file:
            file.write(json.dumps(line) + "\n")

    def cut(self, step: int) -> None:
        """Drops lines beyond ``step``, and one half-written by a kill: they will be written again."""
        if self.metrics.exists():
            lines = [line for line in self.metrics.read_text().splitlines(True) if _step_of(line) <= step]
            write_atomically(self.metrics, "".join(lines))

    def status(self, state: str, step: int) -> None:
        """status.json: running, preempted or finished."""
        content = {"state": state, "step": step, "steps": self.config.steps, "time": time.time()}
        write_atomically(self.path / "status.json", json.dumps(content))

    def finish(self, logits: NDArray[np.float32], labels: NDArray[np.int64], result: dict[str, Any]) -> None:
        """predictions.npz, then status, and last of all result.json."""
        buffer = io.BytesIO()
        np.savez(buffer, logits=logits, labels=labels)
        write_atomically(self.path / "predictions.npz", buffer.getvalue())
        self.status("finished", result["step"])
        write_atomically(self.path / "result.json", json.dumps(result, indent=1))

    def _beat(self) -> None:
        owner = {"host": socket.gethostname(), "pid": os.getpid(), "time": time.time()}
        write_atomically(self._lock, json.dumps(owner))

    def _keep_beating(self) -> None:
        """Says every while that this process is alive: another host cannot see its pid."""
        while not self._released.wait(STALE_SECONDS / 4):
            self._beat()

    def _live_owner(self) -> dict[str, Any] | None:
        try:
            owner = json.loads(self._lock.read_text())
        except (OSError, json.JSONDecodeError):
            return None
        if owner["host"] == socket.gethostname():
            return owner if _is_alive(owner["pid"]) and owner["pid"] != os.getpid() else None
        return owner if time.time() - owner["time"] < STALE_SECONDS else None


def write_atomically(path: Path, content: str | bytes) -> None:
    """Readers see the old file or the new one, also after a crash."""
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("wb") as file:
        file.write(content.encode() if isinstance(content, str) else content)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def environment(precision: str, world: int, threads: int, device: torch.device) -> dict[str, Any]:
    """Versions, hardware and commit of a run."""
    packages = ("torch", "torchvision", "ffcv", "numba", "numpy", "scipy")
    return {
        "git": _git_commit(),
        "command": sys.argv,
        "versions": {"python": platform.python_version()} | {p: version(p) for p in packages},
        "host": socket.gethostname(),
        "device": torch.cuda.get_device_name() if device.type == "cuda" else _processor(),
        "ranks": world,
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


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _step_of(line: str) -> float:
    try:
        return json.loads(line)["step"]
    except (json.JSONDecodeError, KeyError):
        return float("inf")


def _differences(saved: dict[str, Any], wanted: dict[str, Any], prefix: str = "") -> list[str]:
    changed = []
    for key, value in wanted.items():
        old = saved.get(key)
        if isinstance(value, dict):
            changed += _differences(old or {}, value, f"{prefix}{key}.")
        elif prefix + key not in FREE and old != value:
            changed.append(f"{prefix}{key}: {old} there, {value} now")
    return changed
