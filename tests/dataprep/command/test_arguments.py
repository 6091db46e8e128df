"""Wrong options: one line that names the option, exit code 2, and nothing written."""

from pathlib import Path

import pytest

from tests.support.dataprep_fixtures import make


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
