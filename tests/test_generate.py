"""From weights or a run to a packed data folder, by the command; mistakes are one line each."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from dataprep.generated.shards import read_settings
from pipeline import generate
from pipeline.generator.denoiser import Denoiser
from pipeline.generator.unet import NetworkSize
from tests.support.generators import TINY, train_on, weights
from tests.support.ranks import alone


@pytest.fixture(scope="session")
def data(shipped: Path) -> Path:
    """Digits of 32 px, of which the generator's are made."""
    return shipped


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of two steps on 10 labels."""
    torch.set_num_threads(1)
    out = tmp_path_factory.mktemp("generator") / "run"
    alone(train_on, (f"data={data}", f"out={out}", "steps=2", "sheet_every=2", "labels=1", "batch=8"))
    return out


def arguments(data: Path, folder: Path, *more: object) -> list[str]:
    given = ["--dataset", "digits", "--data", data, "--steps", 2, "--threads", 1, "--precision", "fp32"]
    return list(map(str, [*given, "--shards", folder / "shards", "--out", folder / "packed", *more]))


def test_a_run_makes_a_data_folder(run: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = arguments(data, tmp_path, "--generator", run, "--equal-to", 100, "--guidance", 2, "--seed", 5)
    assert generate.main(given) == 0
    assert {path.name for path in (tmp_path / "packed").iterdir()} == {"images.beton", "groups.npz", "manifest.json"}
    with np.load(tmp_path / "packed/groups.npz") as groups:
        assert (len(groups["first"]), groups["seed"]) == (12, 5)
        assert groups["generator_positions"].tolist() == np.load(data / "digits/splits/1-seed0.npy").tolist()
    settings = read_settings(tmp_path / "shards")
    assert settings["generator"]["labels"]["name"] == "1" and settings["generator"]["labels"]["count"] == 10
    assert (settings["resolution"], settings["side"], settings["sampler"]["guidance"]) == (8, 32, 2.0)
    assert "group 12/12" in capsys.readouterr().out
    assert generate.main(given) == 0  # nothing is left to do
    assert "1 of 1 shards are there already" in capsys.readouterr().out


def other_folder(data: Path, out: Path, classes: int = 10, **changes: object) -> Path:
    """DATA with digits of which the manifest says something else."""
    shutil.copytree(data / "digits", out / "digits", ignore=shutil.ignore_patterns("*.beton"))
    manifest = json.loads((out / "digits/manifest.json").read_text())
    manifest |= {"classes": [f"c{i}" for i in range(classes)], **changes}
    (out / "digits/manifest.json").write_text(json.dumps(manifest))
    return out


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, "made for the 10 classes of digits (0 ...), not for the 10 of"),
        ({"classes": 1}, "groups lie between two classes, and it has 1"),
        ({"classes": 0}, "groups lie between two classes, and it has 0"),
    ],
)
def test_a_generator_of_other_classes(
    run: Path, data: Path, changes: dict[str, int], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = other_folder(data, tmp_path / "data", **changes)
    refused(arguments(other, tmp_path, "--generator", run, "--groups", 1), message, tmp_path, capsys)


@pytest.mark.parametrize(
    ("side", "source", "message"),
    [
        (36, "run", "made for images of 32 px, but"),
        (20, "weights", "makes images of 8 px, not of the 20 of"),
        (32, "other classes", "made for 4 classes, but"),
    ],
)
def test_a_generator_of_another_size(
    run: Path, data: Path, side: int, source: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    classes = [str(i) for i in range(10)]
    other = other_folder(data, tmp_path / "data", stored_size=side)
    manifest = json.loads((other / "digits/manifest.json").read_text())
    (other / "digits/manifest.json").write_text(json.dumps(manifest | {"classes": classes}))
    size = NetworkSize(8, 4, 16, (1,), 1, ()) if source == "other classes" else TINY
    which = ["--generator", run] if source == "run" else ["--weights", weights(tmp_path / "w.pt", size)]
    refused(arguments(other, tmp_path, *which, "--groups", 1), message, tmp_path, capsys)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--dataset", "digit"], "digit/manifest.json: no such data set"),
        (["--guidance", "2"], "--guidance=2: "),
        (["--size", "1"], "--size=1: must be at least 2"),
        (["--micro-batch", "0"], "--micro-batch=0: must be at least 1"),
        (["--precision", "tf32"], "precision=tf32: only GPUs have it"),
    ],
)
def test_mistakes(
    data: Path, more: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = arguments(data, tmp_path, "--weights", weights(tmp_path / "w.pt"), "--groups", 1, *more)
    refused(given, message, tmp_path, capsys)


def test_a_run_that_is_no_generators_or_unfinished(
    run: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = arguments(data, tmp_path, "--groups", 1, "--generator")
    refused([*given, str(tmp_path)], "no run of pipeline/train_generator.py", tmp_path, capsys)
    shutil.copytree(run, tmp_path / "run", ignore=shutil.ignore_patterns("result.json"))
    refused([*given, str(tmp_path / "run")], "stands at step 2 of 2; finish it with its own command", tmp_path, capsys)


def test_weights_of_another_network(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = Denoiser(TINY).state_dict() | {"model.dec.8x8_in0.conv1.weight": torch.zeros(16, 8, 3, 3)}
    torch.save(content, tmp_path / "w.pt")
    given = arguments(data, tmp_path, "--weights", tmp_path / "w.pt", "--groups", 1)
    refused(given, "model.dec.8x8_in0.conv1.weight is 16x8x3x3, not 16x16x3x3", tmp_path, capsys)


def refused(given: list[str], message: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One line, exit code 2, nothing half-written."""
    assert generate.main(given) == 2
    said = capsys.readouterr().err
    assert message in said and said.startswith("error: ") and said.count("\n") == 1
    assert not (folder / "shards").exists() and not (folder / "packed").exists()
