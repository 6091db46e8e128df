"""What a run left is read whole, or one error says what is wrong. Damaged archives: see test_compare.py."""

import json
from pathlib import Path

import pytest

from pipeline.runs.read import (
    TAIL_BYTES,
    Result,
    Status,
    TrainingLine,
    ece_bins,
    finished_result,
    is_finished,
    last_training_line,
    read_commit,
    read_config,
    read_metrics,
    read_status,
)


def test_metrics_lines_and_one_that_a_kill_cut(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    assert read_metrics(path) == []
    path.write_text('{"step": 1}\n{"step": 2, "err')
    assert read_metrics(path) == [{"step": 1}]
    path.write_text('{"step": 1}\n{"st\n{"step": 3}\n')
    with pytest.raises(ValueError, match=r"metrics.jsonl: line 2 is not valid JSON"):
        read_metrics(path)


def test_bins_of_ece_are_those_of_the_run() -> None:
    assert [ece_bins(config) for config in ({}, {"evaluation": None}, {"evaluation": {"ece_bins": 20}})] == [10, 10, 20]


def test_a_folder_without_a_run(tmp_path: Path) -> None:
    assert (read_status(tmp_path), finished_result(tmp_path), is_finished(tmp_path)) == (Status(), None, False)
    assert (last_training_line(tmp_path), read_commit(tmp_path)) == (None, None)
    assert read_config(tmp_path / "config.yaml") == {}


def test_status_and_commit(tmp_path: Path) -> None:
    status = {"state": "failed", "step": 3, "steps": 9, "time": 1.5, "error": "no luck", "terms": [1]}
    (tmp_path / "status.json").write_text(json.dumps(status))
    (tmp_path / "environment.json").write_text('{"git": "c0ffee"}')
    assert read_status(tmp_path) == Status("failed", 3, 9, "no luck")
    assert read_commit(tmp_path) == "c0ffee"


def test_a_result_is_whole_or_an_error(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    path.write_text('{"step": 9, "error": 10.5, "ece": 2, "nll": 1}')
    assert finished_result(tmp_path) == Result(9, 10.5, 2)
    for text, message in (('{"step": 9, "error": 1}', "has no 'ece'"), ('{"step"', "is not valid JSON")):
        path.write_text(text)
        with pytest.raises(ValueError, match=rf"result.json {message}.*; delete it and resume the run"):
            finished_result(tmp_path)


def test_the_last_training_line_is_sought_at_the_end(tmp_path: Path) -> None:
    training = [{"step": step, "loss": 1.0, "images_per_second": 10.0 * step} for step in (1, 2)]
    lines = [json.dumps(line) for line in (*training, {"step": 2, "error": 5.0})]
    path = tmp_path / "metrics.jsonl"
    path.write_text("x" * TAIL_BYTES + "\n" + "\n".join(lines) + '\n{"step": 3, "images_per')
    assert last_training_line(tmp_path) == TrainingLine(2, 20.0)
    path.write_text(lines[-1])
    assert last_training_line(tmp_path) is None
