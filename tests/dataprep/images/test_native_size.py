"""The common size of a set: an odd image among small ones is asked about, not followed."""

from pathlib import Path

import pytest

from tests.support.dataprep_fixtures import make, put_image, put_tree, read_manifest, tree_paths


def test_one_stray_photo_among_small_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = put_tree(tmp_path / "source", tree_paths(("train/", "test/"), per_class=20))
    put_image(source, "train/cow/stray.png", (150, 150))
    words = ("folder", "--source", source, "--out", tmp_path)
    assert make(*words) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "1 image of 122 looked at is not 12x12 like the others" in error
    assert "train/cow/stray.png is 150x150" in error and "--image-size 12 makes all as small" in error
    assert make(*words, "--image-size", 12) == 0
    assert read_manifest(tmp_path / "folder")["stored_size"] == 12


def test_images_of_many_sizes_are_photos(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = put_tree(tmp_path / "source", tree_paths(("train/", "test/"), per_class=4))
    for i in range(10):
        put_image(source, f"train/cow/big{i}.png", (150 + i, 150))
    assert make("folder", "--source", source, "--out", tmp_path, "--stored-size", 64) == 0
    assert make("folder", "--source", source, "--out", tmp_path, "--name", "photos") == 0
    assert "images are not small squares of one size" in capsys.readouterr().out
    assert read_manifest(tmp_path / "photos")["stored_size"] == 256
