"""Wrong options: one line that names the option, exit code 2, and nothing written."""

from pathlib import Path

import pytest

from dataprep import make_beton
from tests.support.dataprep_fixtures import make


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["cifar"], ["unknown data set 'cifar'", "digits, cifar10"]),
        (["folder", "--source", "nowhere"], ["--source nowhere", "does not exist"]),
        (["digits", "--seed", "0"], ["--seed: unknown option; did you mean --seeds?"]),
        (["digits", "--label-per-clas=3"], ["--label-per-clas: unknown option; did you mean --labels-per-class?"]),
        (["digits", "--qqq"], ["--qqq: unknown option; --help explains all"]),
        (["digits", "--encoding", "jpeg"], ["--encoding jpeg: did you mean jpg? known are auto, raw, jpg"]),
        (["cifer10"], ["unknown data set 'cifer10'; did you mean cifar10?"]),
        (["digits", "--name", " "], ["--name ' '"]),
        (["digits", "--name", "-x "], ["--name"]),
        (["digits", "--source", "."], ["--source"]),
        (["digits", "--name", "../up"], ["--name"]),
        (["digits", "--image-size", "64", "--stored-size", "32"], ["--image-size 64", "--stored-size 32"]),
        (["digits", "--jpeg-quality", "101"], ["--jpeg-quality"]),
        (["digits", "--long-tail", "0.5"], ["--long-tail must be at least 1"]),
        (["digits", "--long-tail", "nan"], ["--long-tail must be at least 1"]),
        (["cifar10", "--classes", "50"], ["--classes must name at least 2"]),
        (["cifar10", "--no-extra"], ["--no-extra is an option of svhn and folder only"]),
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


@pytest.mark.parametrize("name", ["imagenet", "webvision"])
def test_how_to_get_what_cannot_be_downloaded(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In ten lines: address, names and sizes of the files, the tree, and what to type next."""
    assert make(name, "--out", tmp_path) == 2
    error = capsys.readouterr().err
    assert error.count("\n") <= 10 and f"{tmp_path}/raw/{name} does not exist" in error
    assert "https://" in error and ".tar" in error and " GB " in error
    assert error.splitlines()[-1] == f"  Then: python dataprep/make_beton.py {name} --source DIRECTORY"
    assert max(map(len, error.splitlines()[1:])) <= 120 and not list(tmp_path.iterdir())


def test_the_first_screen(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        make_beton.main([])
    error = capsys.readouterr().err
    assert stop.value.code == 2 and error.splitlines()[-1].startswith("make_beton.py: error: name a data set: digits,")
    assert "make_beton.py folder --source photos --name photos" in error and "--help" in error
    assert error.count("\n") < 20


def test_help_has_groups_and_examples(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        make_beton.main(["--help"])
    said = capsys.readouterr().out
    groups = ("where images come from", "which images are used", "which images are labelled", "how images are stored")
    assert all(f"{group}" in said for group in (*groups, "how the command runs", "examples:"))
