"""Writes the run folder: config.yaml, environment.json, metrics.jsonl, status.json, predictions.npz, result.json.

Only rank 0 writes. Files that say something about the whole run are replaced atomically; result.json is written
once and last, so its presence means finished. A full disk costs no training: lines wait until there is room.
"""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from numpy.typing import NDArray

from pipeline.config import changed_options
from pipeline.config.schema import RunOptions
from pipeline.runs.files import append_whole, warn, write_atomically
from pipeline.runs.lock import RunLock
from pipeline.runs.predictions import write_predictions
from pipeline.runs.read import is_finished, read_config, read_status


class RunFolder:
    """The folder ``config.out``; nothing is created before ``lock.claim``."""

    def __init__(self, config: RunOptions) -> None:
        self.path = Path(config.out)
        self.config = config
        self.metrics = self.path / "metrics.jsonl"
        self.lock = RunLock(self.path)
        self._unwritten = ""

    @property
    def is_finished(self) -> bool:
        return is_finished(self.path)

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    def check(self) -> None:
        """ValueError where the folder holds a run with other options."""
        saved = read_config(self.path / "config.yaml") or self.config.to_dict()
        if changed := [f"{name}: {there} there, {now} now" for name, there, now in changed_options(saved, self.config)]:
            raise ValueError(f"{self.path}: holds a run with other options ({'; '.join(changed)}); choose another out=")

    def describe(self, environment: dict[str, Any]) -> None:
        """Writes config.yaml and environment.json."""
        self.path.mkdir(parents=True, exist_ok=True)
        write_atomically(self.path / "config.yaml", yaml.safe_dump(self.config.to_dict(), sort_keys=False))
        write_atomically(self.path / "environment.json", json.dumps(environment, indent=1))

    def append(self, line: dict[str, Any]) -> None:
        """Adds a line to metrics.jsonl, after those for which the disk was too full before."""
        self._unwritten += json.dumps(line) + "\n"
        try:
            append_whole(self.metrics, self._unwritten.encode())
            self._unwritten = ""
        except OSError as error:
            warn(f"{self.metrics}: not written ({error.strerror}); its lines wait in memory")

    def cut(self, step: int) -> None:
        """Drops metrics beyond ``step``, and a line half-written by a kill: the run will write them again."""
        if self.metrics.exists():
            lines = [line for line in self.metrics.read_text().splitlines(True) if _step_of(line) <= step]
            write_atomically(self.metrics, "".join(lines))

    def status(self, state: str, step: int, **more: Any) -> None:
        """Writes status.json: ``state`` is running, preempted, finished or failed (then with ``error``, one line)."""
        content = {"state": state, "step": step, "steps": self.config.steps, "time": time.time(), **more}
        try:
            write_atomically(self.path / "status.json", json.dumps(content))
        except OSError as error:
            warn(f"{self.path / 'status.json'}: not written ({error.strerror})")

    def fail(self, error: str, **details: Any) -> None:
        """Writes status.json of a run that died, with the step that it last reported."""
        self.status("failed", read_status(self.path).step, error=error, **details)

    def finish(self, arrays: Mapping[str, NDArray[Any]], result: dict[str, Any]) -> None:
        """Writes the ``arrays`` of predictions.npz, if there are any, then status.json, and last of all result.json."""
        if arrays:
            write_predictions(self.path / "predictions.npz", arrays)
        self.status("finished", result["step"])
        write_atomically(self.path / "result.json", json.dumps(result, indent=1))


def _step_of(line: str) -> float:
    try:
        return json.loads(line)["step"]
    except (json.JSONDecodeError, KeyError):
        return float("inf")
