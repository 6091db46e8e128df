"""Class folders and tars of them: layouts, order, sizes."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support.dataprep_fixtures import (
    fingerprint,
    make,
    nothing_left,
    pack,
    pixels,
    put_image,
    put_tree,
    read_jpegs,
    read_manifest,
    read_raw,
    tree_paths,
)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = put_tree(tmp_path_factory.mktemp("source") / "set", tree_paths())
    (root / "train/ant/notes.txt").write_text("not an image")
    (root / "train/ant/._0.png").write_text("macOS's shadow of a file")
    (root / ".hidden").mkdir()
    put_image(root, ".hidden/ant/0.png")
    Image.fromarray(pixels("odd name")).save(os.fsencode(root) + b"/test/cow/caf\xe9.png", "PNG")
    return root


@pytest.fixture(scope="module")
def made(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("data")
    assert make("folder", "--source", tree, "--out", out, "--name", "animals") == 0
    return out / "animals"


def test_images_and_labels(made: Path) -> None:
    content = read_manifest(made)
    assert content["classes"] == ["ant", "bee", "cow"]
    assert content["counts"]["train_per_class"] == [11, 10, 10]
    assert content["counts"]["test_per_class"] == [10, 10, 11]
    assert (content["image_size"], content["stored_size"], content["flip"]) == (12, 12, True)
    images, labels = read_raw(made / "train.beton")
    known = {pixels(p).tobytes(): p for p in tree_paths() if p.startswith("train/")}
    paths = [known.pop(image.tobytes()) for image in images]
    assert not known
    assert [content["classes"][label] for label in labels] == [path.split("/")[1] for path in paths]
    np.testing.assert_allclose(content["mean"], images.mean((0, 1, 2)) / 255, rtol=1e-12)
    np.testing.assert_allclose(content["std"], images.std((0, 1, 2)) / 255, rtol=1e-9)
    assert (np.diff(labels) < 0).any(), "stored in class order"


@pytest.mark.parametrize(("mode", "prefix"), [("w", ""), ("w", "set/inner"), ("w:xz", ""), ("w:gz", "set")])
def test_a_tar_gives_the_same(tree: Path, made: Path, tmp_path: Path, mode: str, prefix: str) -> None:
    tar = pack(tree, tmp_path / "set.tar", mode, prefix)
    assert make("folder", "--source", tar, "--out", tmp_path, "--name", "animals") == 0
    assert fingerprint(tmp_path / "animals") == fingerprint(made)
    assert {p.name for p in (tmp_path / "animals").iterdir()} == {p.name for p in made.iterdir()}
    assert not list(tmp_path.glob(".*"))


def test_ignored_files_are_reported(tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert make("folder", "--source", tree, "--out", tmp_path) == 0
    assert "ignored 1 file that is not an image (1 .txt)" in capsys.readouterr().out


def test_order_of_the_file_system_plays_no_part(tmp_path: Path) -> None:
    paths = tree_paths()
    for name, order in (("one", paths), ("two", paths[::-1]), ("three", sorted(paths, key=hash))):
        source = put_tree(tmp_path / f"source-{name}", order)
        assert make("folder", "--source", source, "--out", tmp_path, "--name", name) == 0
    prints = [fingerprint(tmp_path / name) for name in ("one", "two", "three")]
    assert prints[0] == prints[1] == prints[2]


def test_val_and_unlabelled(tmp_path: Path) -> None:
    source = put_tree(tmp_path / "source", tree_paths(("train/", "val/")))
    put_tree(source, [f"unlabelled/{i}.png" for i in range(5)])
    assert make("folder", "--source", source, "--out", tmp_path, "--labels-per-class", 4) == 0
    counts = read_manifest(tmp_path / "folder")["counts"]
    assert (counts["train"], counts["test"], counts["unlabelled"]) == (35, 30, 5)
    labels = read_raw(tmp_path / "folder/train.beton")[1]
    assert (labels == -1).sum() == 5
    for split in (tmp_path / "folder/splits").iterdir():
        assert (labels[np.load(split)] >= 0).all()
    assert read_manifest(tmp_path / "folder")["splits"]["all-seed0"]["size"] == 30


def test_only_class_folders(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = put_tree(tmp_path / "source", tree_paths(("",), per_class=20))
    assert make("folder", "--source", source, "--out", tmp_path, "--test-fraction", 0.25) == 0
    assert "15 of 60 images are held out" in capsys.readouterr().out
    counts = read_manifest(tmp_path / "folder")["counts"]
    assert counts["test_per_class"] == [5, 5, 5] and counts["train_per_class"] == [15, 15, 15]
    known = {image.tobytes() for part in ("train", "test") for image in read_raw(tmp_path / f"folder/{part}.beton")[0]}
    assert len(known) == 60
    assert make("folder", "--source", source, "--out", tmp_path, "--test-fraction", 0.5) == 2


def test_one_image_a_class(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = put_tree(tmp_path / "source", [f"class{i}/a.png" for i in range(20)])
    assert make("folder", "--source", source, "--out", tmp_path) == 0
    assert "test images are drawn regardless of class" in capsys.readouterr().out
    counts = read_manifest(tmp_path / "folder")["counts"]
    assert (counts["train"], counts["test"]) == (18, 2)


def test_photos_are_squared_and_compressed(tmp_path: Path) -> None:
    sizes = [(300, 200), (260, 340), (700, 1400), (90, 60)]
    for i, size in enumerate(sizes * 3):
        gradient = np.linspace(0, 255, size[0] * size[1]).astype(np.uint8).reshape(size[1], size[0])
        image = Image.fromarray(gradient if i % 3 else np.stack([gradient] * 3, -1))
        file = tmp_path / f"source/class{i % 2}/{i}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        image.save(file, quality=95)
    assert make("folder", "--source", tmp_path / "source", "--out", tmp_path) == 0
    content = read_manifest(tmp_path / "folder")
    assert (content["image_size"], content["stored_size"], content["crop_padding"]) == (224, 256, 0)
    assert content["writer"]["encoding"] == "jpg" and content["writer"]["jpeg_quality"] == 90
    stored = read_jpegs(tmp_path / "folder/train.beton")[0]
    assert {image.shape for image in stored} == {(256, 256, 3)}
    np.testing.assert_allclose(content["mean"], np.mean(stored, (0, 1, 2)) / 255, atol=0.003)
    for image in stored:  # a centre crop of a vertical ramp keeps its middle grey and rises downwards
        rows = image.mean((1, 2))
        assert abs(rows.mean() - 127.5) < 3 and rows[-1] > rows[0] + 100


@pytest.mark.parametrize(
    ("paths", "words"),
    [
        (["train/a/0.png", "train/b/0.png", "val/0.png"], "images such as val/0.png are in no class folder"),
        (["train/a/0.png", "train/b/0.png", "test/c/0.png"], "test class 'c' has no training images"),
        (["a/0.png", "a/1.png"], "there is only one class folder"),
        (["test/a/0.png", "val/a/0.png"], "there is no train/"),
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
