"""Export of a run: what is in the folder, that it starts another run, and what is refused without leaving a trace."""

import json
import re
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import yaml
from safetensors.numpy import load_file

from pipeline import train
from pipeline.calibration.scores import softmax
from pipeline.export import main
from pipeline.runs.calibration_file import Calibration, Guarantees, write_calibration
from pipeline.shipping import package, request

FILES = {
    "README.md", "classify.py", "config.yaml", "labels.json", "model.onnx", "model.safetensors", "preprocess.json",
    "reliability.png",
}  # fmt: skip
GUARANTEES = Guarantees("20% of the test set", 100, [], {})


@pytest.fixture(scope="session")
def data(shipped: Path) -> Path:
    """Digits of 32 px, as these networks and files expect."""
    return shipped


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three steps on labels alone, with a temperature as evaluate.py leaves it."""
    out = tmp_path_factory.mktemp("runs") / "digits"
    small = [
        "steps=3",
        "threads=1",
        "batch.labelled=16",
        "model.name=wrn-10-1",
        "model.norm_momentum=0.5",
        "precision=fp32",
    ]
    given = ["dataset=digits", f"data={data}", f"out={out}", "algorithm=supervised", "labels=4", *small]
    assert train.main(["--set", *given, "evaluation.weights=raw", "eval_batch=500"]) == 0
    write_calibration(out, Calibration(1.6, "nll", "20% of the test set", 100, "raw", 3, GUARANTEES, None))
    return out


@pytest.mark.slow
def test_a_whole_folder(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The probabilities of predictions.npz at the temperature; a card with the run's numbers; nothing else left."""
    capsys.readouterr()
    assert main([str(run), "--to", str(tmp_path / "digits")]) == 0
    said = capsys.readouterr().out
    assert float(re.search(r"on 500 test images: largest difference of a probability (\S+)", said)[1]) < 1e-5  # type: ignore[index]
    assert {path.name for path in (tmp_path / "digits").iterdir()} == FILES and len(list(tmp_path.iterdir())) == 1
    card = (tmp_path / "digits/README.md").read_text()
    result = json.loads((run / "result.json").read_text())
    assert f"| the network | {result['error']:.2f} [" in card and f"| {result['ece']:.2f} [" in card
    assert "The temperature, 1.6000, has the lowest NLL on 100 images: 20% of the test set." in card
    assert "model.name: wrn-10-1" in card
    assert str(run.parent) not in card + (tmp_path / "digits/config.yaml").read_text()
    rule = json.loads((tmp_path / "digits/preprocess.json").read_text())
    assert (rule["output"], rule["temperature"]) == ("probabilities", 1.6)
    weights = load_file(tmp_path / "digits/model.safetensors")
    assert weights["head.weight"].shape == (10, 64)
    assert yaml.safe_load((tmp_path / "digits/config.yaml").read_text())["model"]["name"] == "wrn-10-1"


@pytest.mark.slow
def test_logits_for_a_temperature_outside(run: Path, data: Path, tmp_path: Path) -> None:
    assert main([str(run), "--to", str(tmp_path / "out"), "--temperature", "outside", "--images", "40"]) == 0
    session = onnxruntime.InferenceSession(tmp_path / "out/model.onnx")
    assert [each.name for each in session.get_outputs()] == ["logits"]
    zeros = np.zeros((3, 3, 32, 32), np.float32)
    assert session.run(None, {"image": zeros})[0].shape == (3, 10)
    assert softmax(session.run(None, {"image": zeros})[0]).sum() == pytest.approx(3)
    rule = json.loads((tmp_path / "out/preprocess.json").read_text())
    assert (rule["output"], rule["temperature"]) == ("logits", 1.6)


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """The one line of an export that is refused with code 2."""
    capsys.readouterr()
    assert main([str(each) for each in arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1
    return captured.err


def test_what_is_refused(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    unfinished, to = tmp_path / "unfinished", tmp_path / "to"
    unfinished.mkdir()
    assert "unfinished: not a run folder" in refused(capsys, unfinished, "--to", to)
    (unfinished / "config.yaml").write_bytes((run / "config.yaml").read_bytes())
    assert "result.json is missing: the run has not finished; start it again" in refused(capsys, unfinished, "--to", to)
    assert "is there already; choose another folder" in refused(capsys, run, "--to", unfinished)
    assert "selected.pt is missing" in refused(capsys, run, "--to", to, "--weights", "selected")
    told = refused(capsys, run, "--to", to, "--weights", "ema", "--temperature", "inside")
    assert "calibration.json is of other weights: fit a temperature with python pipeline/evaluate.py" in told
    assert not to.exists() and {path.name for path in tmp_path.iterdir()} == {"unfinished"}


def test_without_the_packages(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request, "find_spec", lambda name: None if name == "onnx" else sys)
    told = refused(capsys, run, "--to", tmp_path / "to")
    assert told == "export.py: onnx not installed: pip install 'calibratemix[export]'\n"


def test_a_failure_at_the_end_leaves_nothing(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights that onnxruntime computes otherwise are not shipped."""
    monkeypatch.setattr(package, "largest_difference", lambda *_: (3e-4, 500))
    assert "differ from torch's by 3.0e-04, more than 0.0001; nothing was written" in refused(
        capsys, run, "--to", tmp_path / "to", "--temperature", "none"
    )
    assert list(tmp_path.iterdir()) == []
