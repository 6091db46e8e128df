"""The run folder: config.yaml, environment.json, metrics.jsonl, status.json, predictions.npz, result.json.

Only rank 0 writes. Files that say something about the whole run are replaced atomically; result.json is written
once and last, so its presence means finished. A full disk costs no training: lines wait until there is room.
"""

import io
import json
import os
import platform
import socket
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from numpy.typing import NDArray

from pipeline.config.options import Config
from pipeline.runs.files import append_whole, warn, write_atomically
from pipeline.runs.lock import RunLock

# Options that a continued run may change: where it lies and how it reports, not what it computes.
FREE = {"out", "data", "threads", "eval_batch", "log_every", "checkpoint_every", "profile"}

DEFAULTS = Config().to_dict()


class RunFolder:
    """The folder ``config.out``; nothing is created before ``lock.claim``."""

    def __init__(self, config: Config) -> None:
        self.path = Path(config.out)
        self.config = config
        self.metrics = self.path / "metrics.jsonl"
        self.lock = RunLock(self.path)
        self._unwritten = ""

    @property
    def is_finished(self) -> bool:
        return (self.path / "result.json").exists()

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    def check(self) -> None:
        """ValueError where the folder belongs to other options."""
        file = self.path / "config.yaml"
        saved = yaml.safe_load(file.read_text()) if file.exists() else self.config.to_dict()
        if changed := [f"{name}: {there} there, {now} now" for name, there, now in changed_options(saved, self.config)]:
            raise ValueError(f"{self.path}: holds a run with other options ({'; '.join(changed)}); choose another out=")

    def describe(self, environment: dict[str, Any]) -> None:
        """Writes what explains the run."""
        self.path.mkdir(parents=True, exist_ok=True)
        write_atomically(self.path / "config.yaml", yaml.safe_dump(self.config.to_dict(), sort_keys=False))
        write_atomically(self.path / "environment.json", json.dumps(environment, indent=1))

    def append(self, line: dict[str, Any]) -> None:
        """One line of metrics.jsonl, with those that found no room before."""
        self._unwritten += json.dumps(line) + "\n"
        try:
            append_whole(self.metrics, self._unwritten.encode())
            self._unwritten = ""
        except OSError as error:
            warn(f"{self.metrics}: not written ({error.strerror}); its lines wait in memory")

    def cut(self, step: int) -> None:
        """Drops lines beyond ``step``, and one half-written by a kill: they will be written again."""
        if self.metrics.exists():
            lines = [line for line in self.metrics.read_text().splitlines(True) if _step_of(line) <= step]
            write_atomically(self.metrics, "".join(lines))

    def status(self, state: str, step: int, **more: Any) -> None:
        """status.json: ``state`` is running, preempted, finished or failed (then with ``error``, one line)."""
        content = {"state": state, "step": step, "steps": self.config.steps, "time": time.time(), **more}
        try:
            write_atomically(self.path / "status.json", json.dumps(content))
        except OSError as error:
            warn(f"{self.path / 'status.json'}: not written ({error.strerror})")

    def fail(self, error: str, **details: Any) -> None:
        """status.json of a run that died, with the step it last reported."""
        try:
            step = json.loads((self.path / "status.json").read_text())["step"]
        except (OSError, ValueError, KeyError):
            step = 0
        self.status("failed", step, error=error, **details)

    def finish(self, logits: NDArray[np.float32], labels: NDArray[np.int64], result: dict[str, Any]) -> None:
        """predictions.npz, then status, and last of all result.json."""
        buffer = io.BytesIO()
        np.savez(buffer, logits=logits, labels=labels)
        write_atomically(self.path / "predictions.npz", buffer.getvalue())
        self.status("finished", result["step"])
        write_atomically(self.path / "result.json", json.dumps(result, indent=1))


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


def _step_of(line: str) -> float:
    try:
        return json.loads(line)["step"]
    except (json.JSONDecodeError, KeyError):
        return float("inf")


def changed_options(saved: dict[str, Any], config: Config) -> list[tuple[str, Any, Any]]:
    """(name, value there, value now) of what a run computes otherwise than config.yaml's ``saved``.

    An option that ``saved`` does not know is younger than its run, which had it at its default.
    """
    return _changed(saved, config.to_dict(), DEFAULTS)


def _changed(
    saved: dict[str, Any], wanted: dict[str, Any], before: dict[str, Any], prefix: str = ""
) -> list[tuple[str, Any, Any]]:
    changed = []
    for key, value in wanted.items():
        old = saved.get(key, before[key])
        if isinstance(value, dict):
            changed += _changed(old, value, before[key], f"{prefix}{key}.")
        elif prefix + key not in FREE and old != value:
            changed.append((prefix + key, old, value))
    return changed
