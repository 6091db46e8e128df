"""Prediction files to report on, and evaluate.py called as its users do."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.calibration.scores import softmax
from pipeline.evaluate import main

QUICK = ("--draws", "30", "--floor-draws", "20")


def predictions(seed: int, factor: float = 1.0, samples: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """Calibrated logits times `factor`, and their labels, alike for all factors."""
    generator = np.random.default_rng(seed)
    logits = 2 * generator.standard_normal((samples, 4))
    cumulative = softmax(logits).cumsum(axis=1)
    labels = np.minimum((cumulative < generator.random((samples, 1))).sum(axis=1), 3)
    return (factor * logits).astype(np.float32), labels


def write(path: Path, logits: np.ndarray, labels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, logits=logits, labels=labels)
    return path


def report(*arguments: object) -> dict[str, Any]:
    """report.json of a command that must succeed; the last argument is the report folder."""
    assert main([*map(str, arguments[:-1]), *QUICK, "--out", str(arguments[-1])]) == 0
    return json.loads((Path(str(arguments[-1])) / "report.json").read_text())


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """The one line on stderr of a command that must exit with 2."""
    capsys.readouterr()
    assert main([*map(str, arguments), *QUICK]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1 and captured.err.startswith("evaluate.py: ")
    return captured.err
