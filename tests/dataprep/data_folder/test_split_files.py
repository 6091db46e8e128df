"""Which label splits a data folder gets."""

from pathlib import Path

import pytest

from tests.support.dataprep_fixtures import make, nothing_left, put_tree, tree_paths


def test_more_labels_than_a_class_has(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = put_tree(tmp_path / "source", tree_paths())
    assert make("folder", "--source", source, "--out", tmp_path / "data", "--labels-per-class", 4, 11) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "class 'bee' has only 10" in error
    assert nothing_left(tmp_path / "data", "folder")
