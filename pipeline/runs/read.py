"""Reads a run folder, finished or under way: config.yaml, status.json, result.json, metrics.jsonl, environment.json.

predictions.npz is read in predictions.py, the names of checkpoints in checkpoints.py, and lock.json in lock.py. What a
report cannot do without is read strictly: every fault is one ValueError. What a run under way has not written yet is
empty.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from pipeline.config.reading import YAML_LOADER
from pipeline.runs.files import json_lines, read_json, tail
from pipeline.runs.predictions import RUN_REMEDY, read_arrays, read_predictions, read_validation

__all__ = [  # with those of predictions.py, so that a report imports from one place
    "RUN_REMEDY",
    "Result",
    "Status",
    "TrainingLine",
    "ece_bins",
    "finished_result",
    "is_finished",
    "last_training_line",
    "read_arrays",
    "read_commit",
    "read_config",
    "read_metrics",
    "read_predictions",
    "read_result",
    "read_status",
    "read_validation",
]

TAIL_BYTES = 65536  # of metrics.jsonl: some hundred lines


@dataclass(frozen=True)
class Status:
    """status.json: ``state`` is running, preempted, finished or failed (then with ``error``, one line).

    "" is the state of a run that has not started.
    """

    state: str = ""
    step: int = 0
    steps: int = 0
    error: str = ""


@dataclass(frozen=True)
class Result:
    """What a table of runs needs of result.json; ``error`` and ``ece`` in percent."""

    step: int
    error: float
    ece: float


@dataclass(frozen=True)
class TrainingLine:
    """What an estimate needs of a training line of metrics.jsonl."""

    step: int
    images_per_second: float


def read_config(path: Path) -> dict[str, Any]:
    """The options of a run as plain values; {} where there is no file."""
    if not path.is_file():
        return {}
    try:
        config = yaml.load(path.read_text(encoding="utf-8"), Loader=YAML_LOADER)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{path} is not valid YAML ({reason}); restore it or delete it") from error
    return config if isinstance(config, dict) else {}


def ece_bins(config: dict[str, Any]) -> int:
    """Bins of `ece` in a run of these options."""
    return int((config.get("evaluation") or {}).get("ece_bins", 10))


def read_status(run: Path) -> Status:
    """How far the run in this folder is, by its own word."""
    content = read_json(run / "status.json")
    step, steps = content.get("step", 0), content.get("steps", 0)
    return Status(content.get("state", ""), step, steps, content.get("error", ""))


def is_finished(run: Path) -> bool:
    """result.json is written once and last, so its presence says it all."""
    return (run / "result.json").is_file()


def finished_result(run: Path) -> Result | None:
    """The result of a finished run, None before; ValueError where result.json is broken."""
    if not is_finished(run):
        return None
    found = read_result(run / "result.json")
    try:
        return Result(found["step"], found["error"], found["ece"])
    except KeyError as error:
        raise ValueError(f"{run / 'result.json'} has no {error}; delete it and resume the run") from None


def read_result(path: Path) -> dict[str, Any]:
    """result.json of a finished run; ValueError where the run has not finished or the file is broken."""
    if not path.is_file():
        raise ValueError(f"{path} is missing: the run has not finished; start it again to resume it")
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not valid JSON ({error}); delete it and resume the run") from error
    if not isinstance(result, dict):
        raise ValueError(f"{path} holds no JSON object; delete it and resume the run")
    return result


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl; [] where there is no file. A last line half-written by a kill is left out."""
    if not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8").splitlines()
    found = []
    for number, line in enumerate(lines, 1):
        try:
            found.append(json.loads(line))
        except ValueError:
            if number < len(lines):
                raise ValueError(f"{path}: line {number} is not valid JSON; remove it or resume the run") from None
    return found


def last_training_line(run: Path) -> TrainingLine | None:
    """The newest training line of metrics.jsonl, sought at its end; None where there is none yet."""
    for line in reversed(json_lines(tail(run / "metrics.jsonl", TAIL_BYTES))):
        if "images_per_second" in line:
            return TrainingLine(line["step"], line["images_per_second"])
    return None


def read_commit(run: Path) -> str | None:
    """The commit of the code that the run was started with; None where it is unknown."""
    return read_json(run / "environment.json").get("git")
