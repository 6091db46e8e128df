"""Damaged images, wrong options and layouts: a clear line, and nothing half-written."""

import csv
from pathlib import Path

import pytest

from dataprep.partial import check_space
from tests.support.dataprep_fixtures import (
    make,
    nothing_left,
    pack,
    pixels,
    put_tree,
    read_manifest,
    read_raw,
    tree_paths,
)


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
    assert make("folder", "--source", source, "--out", tmp_path / "data", "--max-rejected", 0.2) == 0
    assert not list((tmp_path / "data").glob(".*"))


def test_more_labels_than_a_class_has(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = put_tree(tmp_path / "source", tree_paths())
    assert make("folder", "--source", source, "--out", tmp_path / "data", "--labels-per-class", 4, 11) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "class 'bee' has only 10" in error
    assert nothing_left(tmp_path / "data", "folder")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["cifar"], ["unknown data set 'cifar'", "digits, cifar10"]),
        (["folder", "--source", "nowhere"], ["--source nowhere", "does not exist"]),
        (["digits", "--seed", "0"], ["--seed"]),
        (["digits", "--source", "."], ["--source"]),
        (["digits", "--name", "../up"], ["--name"]),
        (["digits", "--image-size", "64", "--stored-size", "32"], ["--image-size 64", "--stored-size 32"]),
        (["digits", "--jpeg-quality", "101"], ["--jpeg-quality"]),
    ],
)
def test_wrong_options(
    arguments: list[str], words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        code = make(*arguments, "--out", tmp_path)
    except SystemExit as stop:  # argparse ends the program itself
        code = int(str(stop.code))
    error = capsys.readouterr().err
    assert code == 2 and error.count("\n") == 1 and all(word in error for word in words)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("paths", "words"),
    [
        (["train/a/0.png", "train/b/0.png", "val/0.png"], "val/0.png and others lie in no class folder"),
        (["train/a/0.png", "train/b/0.png", "test/c/0.png"], "test class 'c' has no training images"),
        (["a/0.png", "a/1.png"], "only one class folder"),
        (["test/a/0.png", "val/a/0.png"], "no training images"),
        ([], "no training images"),
    ],
)
def test_unusable_layouts(paths: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = put_tree(tmp_path / "source", paths)
    source.mkdir(exist_ok=True)
    assert make("folder", "--source", source, "--out", tmp_path / "data") == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and words in error and str(source) in error
    assert nothing_left(tmp_path / "data", "folder")


@pytest.mark.parametrize("mode", ["w", "w:xz", "w:gz"])
def test_a_tar_cut_short(mode: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tar = pack(put_tree(tmp_path / "source", tree_paths()), tmp_path / "cut.tar", mode)
    tar.write_bytes(tar.read_bytes()[: tar.stat().st_size // 2])
    assert make("folder", "--source", tar, "--out", tmp_path / "data") == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "cut.tar" in error
    assert nothing_left(tmp_path / "data", "folder")


def test_a_folder_of_unknown_origin_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "digits").mkdir()
    (tmp_path / "digits/thesis.txt").write_text("only copy")
    assert make("digits", "--out", tmp_path) == 2
    assert "holds no manifest.json" in capsys.readouterr().err
    assert (tmp_path / "digits/thesis.txt").read_text() == "only copy"


def test_space_is_checked_first(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="GB are needed"):
        check_space(tmp_path, 10**18)
