"""Damaged images are listed and left out; too many of them are an error."""

import csv
from pathlib import Path

import pytest

from tests.support.dataprep_fixtures import make, pixels, put_tree, read_manifest, read_raw, tree_paths


def damage(root: Path) -> set[str]:
    """Three ways an image goes bad; returns their paths."""
    (root / "train/ant/0.png").write_bytes(b"")
    (root / "train/bee/1.png").write_bytes(b"this is no image" * 20)
    whole = (root / "test/cow/2.png").read_bytes()
    (root / "test/cow/2.png").write_bytes(whole[: len(whole) // 2])
    return {"train/ant/0.png", "train/bee/1.png", "test/cow/2.png"}


def test_bad_images_are_listed_and_left_out(tmp_path: Path) -> None:
    source = put_tree(tmp_path / "source", tree_paths())
    bad = damage(source)
    assert make("folder", "--source", source, "--out", tmp_path, "--max-rejected", 0.2) == 0
    with (tmp_path / "folder/rejected.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["path"] for row in rows} == bad and all(row["reason"] for row in rows)
    counts = read_manifest(tmp_path / "folder")["counts"]
    assert (counts["train"], counts["test"], counts["rejected"]) == (29, 29, 3)
    images = read_raw(tmp_path / "folder/train.beton")[0]
    good = {pixels(p).tobytes() for p in tree_paths() if p.startswith("train/") and p not in bad}
    assert {image.tobytes() for image in images} == good
    assert make("folder", "--source", source, "--out", tmp_path) == 0, "rejects must not look like another source"


def test_too_many_bad_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = put_tree(tmp_path / "source", tree_paths())
    damage(source)
    assert make("folder", "--source", source, "--out", tmp_path / "data") == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "--max-rejected" in error and "train/ant/0.png (empty file)" in error
    assert not (tmp_path / "data/folder").exists()
    with (tmp_path / "data/.folder.partial/rejected.csv").open(newline="") as file:
        assert ["train/ant/0.png", "empty file"] in csv.reader(file)
    assert make("folder", "--source", source, "--out", tmp_path / "data", "--max-rejected", 0.2) == 0
    assert not list((tmp_path / "data").glob(".*"))
