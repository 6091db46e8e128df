"""How trees are read: the usual names of parts in any case, and a refusal where a name could mean two things."""

from pathlib import Path

import pytest

from tests.support.dataprep_fixtures import fingerprint, make, nothing_left, pack, put_tree, read_manifest, tree_paths

Output = pytest.CaptureFixture[str]


@pytest.mark.parametrize(
    ("train", "test"), [("Train", "Test"), ("training", "testing"), ("TRAIN", "valid"), ("train", "Validation")]
)
def test_usual_names_in_any_case(tmp_path: Path, capsys: Output, train: str, test: str) -> None:
    source = put_tree(tmp_path / "source", tree_paths((f"{train}/", f"{test}/"), per_class=4))
    assert make("folder", "--source", source, "--out", tmp_path) == 0
    content = read_manifest(tmp_path / "folder")
    assert content["classes"] == ["ant", "bee", "cow"]
    assert content["counts"]["train_per_class"] == content["counts"]["test_per_class"] == [4, 4, 4]
    said = capsys.readouterr().out
    assert f"{train}/ as training images" in said and f"{test}/ as the test images" in said
    assert "note: 3 classes: ant, bee, cow\n" in said and "note: train: 12 images, 4 of each class\n" in said
    assert "12 train (4 a class), 12 test (4 a class)" in said.splitlines()[-1]


def test_val_beside_test_is_kept_as_validation(tmp_path: Path, capsys: Output) -> None:
    paths = tree_paths(("train/", "test/"), per_class=4)
    assert make("folder", "--source", put_tree(tmp_path / "tree2", paths), "--out", tmp_path, "--name", "two") == 0
    source = put_tree(tmp_path / "tree3", [*paths, *tree_paths(("valid/",), per_class=3), "valid/cow/more.png"])
    assert make("folder", "--source", source, "--out", tmp_path, "--name", "three") == 0
    assert "validation: 10 images, from 3 (ant) to 4 (cow) of a class" in capsys.readouterr().out
    two, three = read_manifest(tmp_path / "two"), read_manifest(tmp_path / "three")
    assert {**three["betons"], "validation.beton": 0} == {**two["betons"], "validation.beton": 0}
    assert (three["counts"]["validation"], three["counts"]["validation_per_class"]) == (10, [3, 3, 4])
    assert "validation" not in two["counts"] and three["files_sha256"]["validation"]
    assert make("folder", "--out", tmp_path, "--name", "three", "--verify") == 0
    assert "13 train" in capsys.readouterr().out
    (tmp_path / "three/validation.beton").unlink()
    assert make("folder", "--out", tmp_path, "--name", "three", "--verify") == 2
    assert "validation.beton: missing" in capsys.readouterr().err


def test_extra_images_are_trained_on_or_left_out(tmp_path: Path, capsys: Output) -> None:
    source = put_tree(tmp_path / "source", tree_paths(("train/", "test/", "extra/"), per_class=3))
    assert make("folder", "--source", source, "--out", tmp_path, "--name", "with") == 0
    assert make("folder", "--source", source, "--out", tmp_path, "--name", "without", "--no-extra") == 0
    assert "9 extra images left out (--no-extra)" in capsys.readouterr().out
    assert read_manifest(tmp_path / "with")["counts"]["train_per_class"] == [6, 6, 6]
    assert read_manifest(tmp_path / "without")["counts"]["train_per_class"] == [3, 3, 3]


def test_a_class_called_train(tmp_path: Path, capsys: Output) -> None:
    source = put_tree(tmp_path / "source", [f"{c}/{i}.png" for c in ("bus", "car", "train") for i in range(10)])
    assert make("folder", "--source", source, "--out", tmp_path) == 0
    assert "3 classes: bus, car, train" in capsys.readouterr().out
    inner = put_tree(tmp_path / "tree", [f"train/{c}/{i}.png" for c in ("bus", "test", "train") for i in range(10)])
    assert make("folder", "--source", inner, "--out", tmp_path, "--name", "inner") == 0
    assert read_manifest(tmp_path / "inner")["classes"] == ["bus", "test", "train"]


def test_a_wrapper_called_training_is_a_wrapper(tmp_path: Path) -> None:
    paths = tree_paths(("",), per_class=10)
    plain, wrapped = put_tree(tmp_path / "plain", paths), put_tree(tmp_path / "wrapped/Training", paths)
    tar = pack(wrapped, tmp_path / "set.tar", "w", "Training")
    for name, source in (("plain", plain), ("wrapped", wrapped.parent), ("tar", tar)):
        assert make("folder", "--source", source, "--out", tmp_path / "data", "--name", name) == 0
    prints = [fingerprint(tmp_path / "data" / name) for name in ("plain", "wrapped", "tar")]
    assert prints[0] == prints[1] == prints[2]


def three(*tops: str) -> list[str]:
    return [f"{top}/{i}.png" for top in tops for i in range(3)]


@pytest.mark.parametrize(
    ("paths", "words"),
    [
        (three("cat", "dog", "test"), "test could be a part of the set or a class"),
        (three("cat", "dog", "unlabelled"), "it would be read as 3 classes (cat, dog, unlabelled)"),
        (three("Val/cat", "Val/dog", "testing/cat", "testing/dog"), "Val, testing could be"),
        (three("set/test/cat", "set/test/dog"), "it holds test/ alone, whose images would be trained on (cat, dog"),
        (three("train/cat", "train/dog", "Train/cat"), "Train, train are all names of the train images"),
        (three("train/a", "train/b", "val/a", "valid/a"), "val, valid are all names of the validation images"),
        (three("train/train/cat", "train/test/cat"), "train/test/ holds folders, so it could be a part"),
        (three("train/cat", "train/dog", "holdout/cat"), "holdout/ holds 3 images in folders named as the classes"),
        (three("train/cat", "train/dog", "test/cat", "val"), "validation images such as val/0.png are in no class"),
        (three("train/cat", "train/dog", "extra/emu"), "extra class 'emu' has no training images"),
    ],
)
def test_ambiguous_trees_are_refused(tmp_path: Path, capsys: Output, paths: list[str], words: str) -> None:
    source = put_tree(tmp_path / "source", paths)
    assert make("folder", "--source", source, "--out", tmp_path / "data") == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and words in error and f"--source {source}" in error
    assert nothing_left(tmp_path / "data", "folder")


def test_what_is_left_out_is_named(tmp_path: Path, capsys: Output) -> None:
    paths = [*tree_paths(("train/", "test/"), per_class=3), "docs/figure.png", "logo.png", "train/0.png"]
    assert make("folder", "--source", put_tree(tmp_path / "source", paths), "--out", tmp_path) == 0
    said = capsys.readouterr().out
    assert "ignored 1 image in docs/, which is the name of no part, the first is docs/figure.png" in said
    assert "ignored 1 image beside the folders, the first is logo.png" in said
    assert "ignored 1 image outside any class folder, the first is train/0.png" in said
