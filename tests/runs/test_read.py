"""What a run left is read whole, or one error says what is wrong. Damaged archives: see test_compare.py."""

from pathlib import Path

import pytest

from pipeline.runs.read import ece_bins, read_metrics


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
