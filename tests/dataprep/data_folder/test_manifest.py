"""A manifest that is damaged or changed: one line, by every command that reads it."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dataprep.data_folder import manifest
from dataprep.data_folder.shapes import misfits
from tests.support.dataprep_fixtures import make, read_manifest

Output = pytest.CaptureFixture[str]


@pytest.fixture
def own(data: Path, tmp_path: Path) -> Path:
    """A copy of DATA/digits, to be damaged."""
    return shutil.copytree(data / "digits", tmp_path / "digits")


def damage(folder: Path, edit: Callable[[Any], object]) -> None:
    content = read_manifest(folder)
    edit(content)
    (folder / "manifest.json").write_text(json.dumps(content))


@pytest.mark.parametrize("key", sorted(manifest.Manifest.__required_keys__ - {"format"}))
def test_a_missing_field_is_named(own: Path, capsys: Output, key: str) -> None:
    damage(own, lambda content: content.pop(key))
    for more in ([], ["--verify"], ["--seeds", "7"]):
        assert make("digits", "--out", own.parent, *more) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1 and f"manifest.json is damaged ({key} is missing)" in error


@pytest.mark.parametrize(
    "edit",
    [
        lambda content: content.update(image_size=16),
        lambda content: content["classes"].__setitem__(3, "drei"),
        lambda content: content["mean"].__setitem__(0, 0.5),
        lambda content: content["std"].reverse() or content["std"].__setitem__(1, 0.1),
        lambda content: content.update(flip=True),
    ],
)
def test_a_changed_value_does_not_verify(own: Path, capsys: Output, edit: Callable[[Any], object]) -> None:
    damage(own, edit)
    assert make("digits", "--out", own.parent, "--verify") == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "manifest.json is not what was written" in error


def test_one_without_a_checksum_is_read(own: Path) -> None:
    """As folders have that were made before there was one."""

    def forget(content: Any) -> None:
        for key in ("sha256", "contents", "file_list"):
            content.pop(key)
        for key in ("classes", "extra", "limit"):
            content["source"].pop(key)

    damage(own, forget)
    assert make("digits", "--out", own.parent, "--verify") == 0


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda content: content["counts"].pop("train"), "counts.train is missing"),
        (lambda content: content["counts"].update(test="500"), "counts.test is '500'"),
        (lambda content: content["splits"].update(x=3), "splits.x is 3"),
        (lambda content: content.update(classes=[1, 2]), "classes[0] is 1, classes[1] is 2"),
        (lambda content: content["betons"]["train.beton"].pop("bytes"), "betons.train.beton.bytes is missing"),
        (lambda content: content.update(flip=1), "flip is 1"),
        (lambda content: content.update(mean=[0, 0.5, 1]), ""),
    ],
)
def test_shapes(data: Path, edit: Callable[[Any], object], words: str) -> None:
    content = read_manifest(data / "digits")
    edit(content)
    assert ", ".join(misfits(content, manifest.Manifest)) == words
