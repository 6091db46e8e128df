"""What can be wrong with a folder of images that another generator made: one line each."""

from pathlib import Path

import numpy as np
import pytest

from dataprep.data_folder import manifest
from dataprep.generated.tree_source import _classes_of
from tests.support.blends import write_tree
from tests.support.dataprep_fixtures import make

GROUP = np.zeros((3, 32, 32, 3), np.uint8)


def wrong_class(root: Path) -> None:
    (root / "0_1").rename(root / "0_ten")


def one_class(root: Path) -> None:
    (root / "0_1").rename(root / "1_1")


def missing_place(root: Path) -> None:
    (root / "2_3" / "0" / "1.png").unlink()


def missing_end(root: Path) -> None:
    (root / "0_1" / "0" / "0.png").unlink()


def one_place_more(root: Path) -> None:
    (root / "2_3" / "0" / "3.png").touch()


def other_size(root: Path) -> None:
    write_tree(root, {"4_5/7": GROUP[:, :16]})


def no_image(root: Path) -> None:
    (root / "2_3" / "0" / "2.png").write_text("none")


def no_image_first(root: Path) -> None:
    (root / "0_1" / "0" / "0.png").write_text("none")


def loose_file(root: Path) -> None:
    (root / "notes.txt").touch()


def nothing(root: Path) -> None:
    for file in root.rglob("*.png"):
        file.unlink()
    for pair in root.iterdir():
        (pair / "0").rmdir()


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (
            wrong_class,
            "0_ten does not name two classes as CLASSA_CLASSB; the data set has 0, 1, 2, 3, 4, 5, 6, 7, 8, 9",
        ),
        (one_class, "1_1 does not name two classes"),
        (missing_place, "2_3/0 lacks 1.png; every group must have 0.png to 2.png"),
        (missing_end, "0_1/0 lacks 0.png"),
        (one_place_more, "2_3/0/3.png does not belong there"),
        (other_size, "4_5/7/0.png is 32x16, not 32x32 as the first image; all images must have one size"),
        (no_image, "2_3/0/2.png cannot be read (not an image); mend it or make the group again"),
        (no_image_first, "0_1/0/0.png cannot be read (not an image)"),
        (loose_file, "notes.txt is not a folder"),
        (nothing, "holds no groups; it must hold CLASSA_CLASSB/GROUP/0.png"),
    ],
)
def test_mistakes_of_a_tree(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], spoil: object, words: str
) -> None:
    root = write_tree(tmp_path / "tree", {"0_1/0": GROUP, "2_3/0": GROUP})
    (tmp_path / "digits").symlink_to(data / "digits")
    spoil(root)  # type: ignore[operator]
    assert make("groups", "--source", root, "--of", "digits", "--out", tmp_path) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and words in error
    assert {path.name for path in tmp_path.iterdir()} == {"tree", "digits"}


def test_class_names_with_underscores() -> None:
    classes = ["sweet_pepper", "sweet", "pepper", "pepper_mill"]
    assert _classes_of(Path("sweet_pepper_mill"), ["sweet", "pepper_mill"]) == (0, 1)
    assert _classes_of(Path("pepper_mill_sweet_pepper"), classes) == (3, 0)
    with pytest.raises(ValueError, match="can be read as two pairs of classes"):
        _classes_of(Path("sweet_pepper_mill"), [*classes, "mill"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["groups"], "groups: name the data set with --of NAME, or the result with --name"),
        (["groups", "--of", "digits"], "groups: name the folder that holds them with --source"),
        (["groups", "--of", "digits", "--source", "nowhere"], "--source nowhere is not a folder"),
        (["groups", "--of", "digits", "--source", ".", "--limit", "3"], "--limit is not an option of groups"),
        (["groups", "--of", "digits", "--source", ".", "--no-preview"], "--no-preview is not an option of groups"),
        (["groups", "--of", "digit", "--source", "."], "digit does not exist; make it with make_beton.py first"),
        (["groups", "--name", "own", "--source", "."], "for a folder of images name its data set with --of NAME"),
        (["groups", "--of", "digits", "--verify"], "digits-csm does not exist; make it first"),
        (["digits", "--of", "digits"], "--of is an option of groups only"),
        (["grups"], "unknown data set 'grups'; did you mean groups?"),
    ],
)
def test_wrong_options(
    arguments: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], data: Path
) -> None:
    (tmp_path / "digits").symlink_to(data / "digits")
    assert make(*arguments, "--out", tmp_path) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and words in error
    assert [path.name for path in tmp_path.iterdir()] == ["digits"]


def test_a_data_set_is_no_folder_of_groups(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert make("groups", "--name", "digits", "--out", data, "--verify") == 2
    assert "does not have format groups 1" in capsys.readouterr().err
    assert manifest.read(data / "digits")["name"] == "digits"
