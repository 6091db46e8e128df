"""The command that trains generators: mistakes are one line each, before anything is written."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from pipeline import train_generator
from pipeline.config import generator
from pipeline.data.dataset import open_beton
from pipeline.data.ffcv_start import FieldDescType, HeaderType
from tests.support.generators import FEW


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("dataset=digit", "digit/manifest.json: no such data set"),
        ("labels=3", "no split 3-seed0"),
        ("resolution=10", "resolution=10 does not divide the 16 px of the stored images"),
        ("resolutoin=8", "resolutoin: unknown option; did you mean resolution?"),
        ("network.multipliers=1 x", "network.multipliers='1 x': write whole numbers"),
        ("network.multipliers=1 1 1 1 1", "cannot be halved for 5 levels"),
        ("network.channels=18", "network.channels=18: must be a multiple of 4"),
        ("network.channels=144", "cannot be divided into groups for its norm; choose a multiple of 32"),
        ("network.dropout=1", "network.dropout=1: must be below 1"),
        ("precision=tf32", "precision=tf32: only GPUs have it"),
        ("reduce=mean", "reduce: unknown value 'mean'"),
    ],
)
def test_mistakes(data: Path, setting: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    refused([f"data={data}", setting], message, tmp_path, capsys)


@pytest.mark.parametrize(
    ("kept", "message"), [(0, "no split all-seed0"), (1, "has one class; a generator for images between classes needs")]
)
def test_a_data_folder_without_labels_or_with_one_class(
    data: Path, kept: int, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The betons stay as they are; labels are taken away where they are read."""
    folder = tmp_path / "data/digits"
    shutil.copytree(data / "digits", folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    if kept:
        manifest["classes"] = ["all"]
    else:
        manifest["splits"] = {}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    for beton in ("train.beton", "test.beton"):
        without_labels(folder / beton, kept - 1)
    refused([f"data={tmp_path / 'data'}"], message, tmp_path, capsys)


def without_labels(beton: Path, label: int) -> None:
    """Every image of the beton gets this one."""
    table = open_beton(beton).metadata.copy()
    table["f1"] = label
    with beton.open("r+b") as file:
        file.seek(metadata_at(beton))
        file.write(table.tobytes())


def metadata_at(beton: Path) -> int:
    """Where the table of samples begins: behind the header and the descriptions of the fields."""
    header = np.fromfile(beton, dtype=HeaderType, count=1)[0]
    return int(HeaderType.itemsize + header["num_fields"] * FieldDescType.itemsize)


def test_help_lists_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        train_generator.main(["--help"])
    text = capsys.readouterr().out
    assert all(name in text for name in generator.SCHEMA.options)


def refused(sets: list[str], message: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One line, exit code 2, no run folder."""
    assert train_generator.main(["--set", *FEW, f"out={folder / 'run'}", *sets]) == 2
    said = capsys.readouterr().err
    assert message in said and said.startswith("error: ") and said.count("\n") == 1, said
    assert not (folder / "run").exists()
