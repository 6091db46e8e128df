"""model.weights: files of timm's names and ours, run folders; heads of other classes, weights of other networks."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch

from pipeline import config, models, train
from pipeline.config.sections import ModelConfig
from pipeline.data.dataset import Dataset, open_dataset
from pipeline.runs.folder import RunFolder
from pipeline.training import launch
from pipeline.training.saved_weights import run_weights
from pipeline.training.starting_weights import Start, starting_weights
from pipeline.training.training_run import TrainingRun
from tests.support.ranks import alone

timm = pytest.importorskip("timm")
safetensors = pytest.importorskip("safetensors.torch")
VIT = "timm/test_vit"


@pytest.fixture(scope="session")
def data(shipped: Path) -> Path:
    """Digits of 32 px, as these networks and files expect."""
    return shipped


@pytest.fixture(scope="module")
def dataset(data: Path) -> Dataset:
    return open_dataset(config.load(None, ["dataset=digits", f"data={data}"]))


def start(dataset: Dataset, weights: Path | str, name: str = VIT, classes: int = 10) -> Start:
    given = config.load(None, ["dataset=digits", f"model.name={name}", f"model.weights={weights}"])
    return starting_weights(given, dataset, models.shapes(given.model, classes, 32))


def test_a_file_of_timms_names(dataset: Dataset, tmp_path: Path) -> None:
    """1000 classes and 160 px: another head, resampled positions, every other tensor as it is."""
    saved = timm.create_model("test_vit").state_dict()
    torch.save({"epoch": 3, "model": {f"module.{n}": t for n, t in saved.items()}}, tmp_path / "vit.pth")
    found = start(dataset, tmp_path / "vit.pth")
    assert found.notes == [
        f"model.weights={tmp_path}/vit.pth: its classifier of 1000 classes is replaced; one of 10 classes is drawn",
        f"{VIT}: timm has it for images of 160 px, {dataset.folder} has 32",
    ]
    assert found.state["body.pos_embed"].shape == (1, 2 * 2 + 1, 64) and "head.weight" not in found.state
    for name in set(saved) - {"pos_embed", "head.weight", "head.bias"}:
        assert torch.equal(found.state[f"body.{name}"], saved[name]), name


@pytest.mark.parametrize("name", [VIT, "timm/test_efficientnet", "wrn-10-1"])
def test_a_file_of_our_names(name: str, dataset: Dataset, tmp_path: Path) -> None:
    """As export.py writes it: everything, the classifier too where the classes agree."""
    saved = models.build(ModelConfig(name=name), 10, 5, 32).state_dict()
    safetensors.save_file({key: value.contiguous() for key, value in saved.items()}, str(tmp_path / "ours.safetensors"))
    found = start(dataset, tmp_path / "ours.safetensors", name)
    assert set(found.state) == set(saved) and all(torch.equal(found.state[key], saved[key]) for key in saved)
    other = start(dataset, tmp_path / "ours.safetensors", name, classes=4)
    assert set(saved) - set(other.state) == {"head.weight", "head.bias"}
    assert "its classifier of 10 classes is replaced; one of 4 classes is drawn" in other.notes[0]


def test_weights_of_another_network(dataset: Dataset, tmp_path: Path) -> None:
    """The first tensor that differs is named, in one line."""
    torch.save(models.build(ModelConfig(name="wrn-10-1"), 10, 0).state_dict(), tmp_path / "wrn.pt")
    torch.save(timm.create_model("vit_tiny_patch16_224").state_dict(), tmp_path / "tiny.pt")
    for file, name, message in (
        ("wrn.pt", "wrn-10-2", r"blocks.0.conv1.weight is \(16, 16, 3, 3\) there and \(32, 16, 3, 3\) in model.name"),
        ("wrn.pt", "wrn-16-1", r"blocks.1.conv1.weight is \(32, 16, 3, 3\) there and \(16, 16, 3, 3\)"),
        ("wrn.pt", VIT, "weights of another network"),
        ("tiny.pt", VIT, r"cls_token is \(1, 1, 192\) there and \(1, 1, 64\)"),
    ):
        with pytest.raises(ValueError, match=message) as raised:
            start(dataset, tmp_path / file, name)
        assert "\n" not in str(raised.value) and str(tmp_path / file) in str(raised.value)


def test_what_is_no_file_of_weights(dataset: Dataset, tmp_path: Path) -> None:
    (tmp_path / "cut.pt").write_bytes(b"PK\x03\x04 not all of it")
    (tmp_path / "cut.safetensors").write_bytes(b"\x10")
    torch.save([1, 2], tmp_path / "list.pt")
    torch.save({"model": Path}, tmp_path / "code.pt")  # would run code where it is loaded
    for name in ("cut.pt", "cut.safetensors", "list.pt", "code.pt", "none.pt", "weights.npz"):
        with pytest.raises(ValueError, match=rf"^model.weights={tmp_path}/{name}: ") as raised:
            start(dataset, tmp_path / name)
        assert "\n" not in str(raised.value)


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two steps on labels alone, finished."""
    out = tmp_path_factory.mktemp("runs") / "first"
    small = ["steps=2", "threads=1", "batch.labelled=8", "model.name=wrn-10-1", "precision=fp32", "eval_batch=500"]
    given = ["dataset=digits", f"data={data}", f"out={out}", "algorithm=supervised", "labels=4", *small]
    assert train.main(["--set", *given]) == 0
    return out


def test_a_run_starts_another(run: Path, dataset: Dataset, data: Path) -> None:
    evaluated = run_weights(run, "model.weights")
    found = start(dataset, run, "wrn-10-1")
    assert found.notes == [] and all(torch.equal(found.state[name], evaluated[name]) for name in evaluated)
    letters = dataclasses.replace(dataset, classes=[f"letter {name}" for name in dataset.classes])
    other = start(letters, run, "wrn-10-1")
    assert "was trained on other classes" in other.notes[0] and "its classifier is not there" in other.notes[1]
    given = config.load(None, ["dataset=digits", f"data={data}", "model.name=wrn-10-1", f"model.weights={run}"])

    def begun(ranks: Any) -> tuple[Any, Any]:
        made = TrainingRun(given, dataset, ranks, 1)
        assert made.start() == []
        return made.model.state_dict(), made.ema.module.state_dict()

    for state in alone(begun):
        assert all(torch.equal(state[name], evaluated[name]) for name in evaluated)


def test_runs_that_cannot_be_started_from(run: Path, dataset: Dataset, tmp_path: Path) -> None:
    (tmp_path / "unfinished").mkdir()
    (tmp_path / "unfinished/config.yaml").write_bytes((run / "config.yaml").read_bytes())
    with pytest.raises(ValueError, match=r"unfinished/result.json is missing: the run has not finished"):
        start(dataset, tmp_path / "unfinished", "wrn-10-1")
    with pytest.raises(ValueError, match=r"not a run folder: it holds no config.yaml"):
        start(dataset, tmp_path, "wrn-10-1")


def test_weights_are_looked_at_before_a_start_and_not_when_it_resumes(data: Path, tmp_path: Path) -> None:
    sets = ["dataset=digits", f"data={data}", f"out={tmp_path}/run", "model.name=wrn-10-1", "model.weights=gone.pt"]
    given = config.load(None, sets)
    with pytest.raises(ValueError, match=r"^model.weights=gone.pt: cannot be read \(No such file"):
        launch.check(given, open_dataset(given), RunFolder(given))
    assert not (tmp_path / "run").exists()
    saved = tmp_path / "run/checkpoints/step-00000004"
    saved.mkdir(parents=True)
    (saved / "manifest.json").write_text("{}")
    folder = RunFolder(given)
    launch.check(given, open_dataset(given), folder)
    folder.lock.release()
