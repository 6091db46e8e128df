"""Which label splits a data folder gets."""

from pathlib import Path

import numpy as np
import pytest

from tests.support.dataprep_fixtures import make, nothing_left, put_tree, read_manifest, tree_paths
from tests.support.made_folders import opened


def test_more_labels_than_a_class_has(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = put_tree(tmp_path / "source", tree_paths())
    assert make("folder", "--source", source, "--out", tmp_path / "data", "--labels-per-class", 4, 11) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "class 'bee' has only 10" in error
    assert nothing_left(tmp_path / "data", "folder")


def test_a_tail_longer_than_a_class(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = put_tree(tmp_path / "source", tree_paths())
    assert make("folder", "--source", source, "--out", tmp_path / "data", "--long-tail", 4, 10.5) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "--long-tail 10.5: class 'bee' has only 10 labelled" in error
    assert "request at most 10" in error and nothing_left(tmp_path / "data", "folder")


def test_a_long_tail_is_a_split_like_others(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Drawn at once or later, in the manifest, verified, and what training takes by labels=lt5."""
    words = ("folder", "--source", put_tree(tmp_path / "source", tree_paths()), "--out", tmp_path)
    assert make(*words, "--long-tail", 5, 2.5) == 0
    with pytest.raises(ValueError, match=r"no split lt9-seed0 .*--name folder .*--long-tail 9 --seeds 0, or choose"):
        opened(tmp_path / "folder", "lt9")
    assert make(*words, "--long-tail", 9) == 0
    folder = tmp_path / "folder"
    splits = read_manifest(folder)["splits"]
    assert {name: splits[f"{name}-seed2"]["size"] for name in ("lt2.5", "lt5", "lt9")} == {
        "lt2.5": 20,
        "lt5": 16,
        "lt9": 14,
    }
    seen = opened(folder, "lt5")
    assert np.bincount(seen.train_labels).tolist() == [10, 4, 2] and len(seen.split) == 16
    assert make(*words, "--verify") == 0
    np.save(folder / "splits/lt9-seed0.npy", np.load(folder / "splits/lt5-seed0.npy"))
    assert make(*words, "--verify") == 2
    assert "lt9-seed0.npy: sha256 differs" in capsys.readouterr().err
