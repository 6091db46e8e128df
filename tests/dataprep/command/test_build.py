"""What a second call does to a data folder, and what it refuses."""

from pathlib import Path
from shutil import copytree

import numpy as np
import pytest

from tests.support.dataprep_fixtures import make, put_tree, read_manifest, read_raw, tree_paths


@pytest.fixture
def own(data: Path, tmp_path: Path) -> Path:
    """A copy of DATA, to be changed."""
    return copytree(data, tmp_path / "own")


def test_a_second_run_adds_only_splits(
    own: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = own / "digits"
    before, old = (folder / "train.beton").stat(), read_manifest(folder)
    monkeypatch.setattr("dataprep.command.build.WorkerPool", lambda *arguments, **options: 1 / 0)  # needs no process
    assert make("digits", "--out", own) == 0
    assert "already made, nothing to add" in capsys.readouterr().out
    assert make("digits", "--out", own, "--labels-per-class", 4, 7, "--seeds", 0, 5) == 0
    new = read_manifest(folder)
    assert (folder / "train.beton").stat().st_mtime_ns == before.st_mtime_ns
    assert set(new["splits"]) - set(old["splits"]) == {
        *("7-seed0", "7-seed5", "4-seed5", "10pct-seed5", "10pct-stratified-seed5", "all-seed5")
    }
    assert {name: new["splits"][name] for name in old["splits"]} == old["splits"]
    assert {**new, "splits": 0, "sha256": 0} == {**old, "splits": 0, "sha256": 0}
    labels = read_raw(folder / "train.beton")[1]
    assert np.bincount(labels[np.load(folder / "splits/7-seed5.npy")]).tolist() == [7] * 10


def test_other_seeds_leave_images_alone(data: Path, tmp_path: Path) -> None:
    assert make("digits", "--out", tmp_path, "--seeds", 9, "--workers", 2) == 0
    ours, other = read_manifest(data / "digits"), read_manifest(tmp_path / "digits")
    assert ours["betons"] == other["betons"] and ours["files_sha256"] == other["files_sha256"]
    assert all(name.endswith("-seed9") for name in other["splits"])


def test_other_options_are_refused(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = read_manifest(data / "digits")
    assert make("digits", "--out", data, "--stored-size", 48, "--flip") == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1 and "stored_size is 32, not 48" in message
    assert read_manifest(data / "digits") == before and not list(data.glob(".*"))


def test_flip_is_changed_in_place(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = read_manifest(own / "digits")
    assert make("digits", "--out", own, "--flip") == 0
    assert "training may now mirror images" in capsys.readouterr().out
    assert {**read_manifest(own / "digits"), "sha256": 0} == {**before, "flip": True, "sha256": 0}
    assert make("digits", "--out", own) == 0 and read_manifest(own / "digits")["flip"] is True
    assert make("digits", "--out", own, "--verify") == 0


def test_why_other_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = put_tree(tmp_path / "source", tree_paths(("",), per_class=20))
    words = ("folder", "--source", source, "--out", tmp_path)
    assert make(*words, "--name", "all") == 0 and make(*words, "--name", "some", "--limit", 1) == 0
    capsys.readouterr()
    assert make(*words, "--name", "all", "--test-fraction", 0.3) == 2
    assert "it holds different images, since --test-fraction was 0.1;" in capsys.readouterr().err.replace(")", ";")
    assert make(*words, "--name", "some") == 2
    assert "it holds different images, since --limit was 1 and --limit-seed was 0" in capsys.readouterr().err


def test_a_folder_of_unknown_origin_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "digits").mkdir()
    (tmp_path / "digits/thesis.txt").write_text("only copy")
    assert make("digits", "--out", tmp_path) == 2
    assert "contains no manifest.json" in capsys.readouterr().err
    assert (tmp_path / "digits/thesis.txt").read_text() == "only copy"
