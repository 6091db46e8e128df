"""Damaged tars are named, and nothing is left behind."""

from pathlib import Path

import pytest

from tests.support.dataprep_fixtures import make, nothing_left, pack, put_tree, tree_paths


@pytest.mark.parametrize("mode", ["w", "w:xz", "w:gz"])
def test_a_tar_cut_short(mode: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tar = pack(put_tree(tmp_path / "source", tree_paths()), tmp_path / "cut.tar", mode)
    tar.write_bytes(tar.read_bytes()[: tar.stat().st_size // 2])
    assert make("folder", "--source", tar, "--out", tmp_path / "data") == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "cut.tar" in error
    assert nothing_left(tmp_path / "data", "folder")
