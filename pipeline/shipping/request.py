"""What the user asks of export.py, checked as far as that goes before torch is imported."""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from pipeline.report.checkpoints import SELECTED, check_selected, choose_checkpoint
from pipeline.report.verified_predictions import read_settings
from pipeline.runs.calibration_file import Calibration, read_calibration
from pipeline.runs.read import read_result

TEMPERATURES = ("inside", "outside", "none")
PACKAGES = ("onnx", "onnxruntime", "safetensors")


@dataclass(frozen=True)
class ExportRequest:
    """The command line of export.py; see its --help. ``weights``, ``temperature``: None where it has none."""

    run: Path
    to: Path
    temperature: str | None = None
    weights: str | None = None
    data: str | None = None
    images: int = 500


@dataclass(frozen=True)
class Checked:
    """A request that can be met. ``weights``: ema, raw or selected. ``temperature``: where it goes."""

    request: ExportRequest
    weights: str
    step: int
    temperature: str
    calibration: Calibration | None
    notes: tuple[str, ...]


def check_request(request: ExportRequest) -> Checked:
    """ValueError naming the folder, the option or the package, and the remedy."""
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        raise ValueError(f"{' and '.join(missing)} not installed: pip install 'calibratemix[export]'")
    if not (request.run / "config.yaml").is_file():
        raise ValueError(f"{request.run}: not a run folder: it holds no config.yaml")
    result = read_result(request.run / "result.json")
    _check_target(request.to)
    weights = request.weights or read_settings(request.run).weights
    step = _step(request.run, weights, result)
    calibration = read_calibration(request.run)
    fits = calibration is not None and calibration.is_of(weights, step)
    where, notes = _temperature(request, fits, calibration is not None)
    return Checked(request, weights, step, where, calibration if where != "none" else None, notes)


def _check_target(to: Path) -> None:
    if to.exists() and not (to.is_dir() and not any(to.iterdir())):
        raise ValueError(f"--to {to}: is there already; choose another folder, or remove it")
    if not to.parent.is_dir():
        raise ValueError(f"--to {to}: there is no folder {to.parent}; make it first")


def _step(run: Path, weights: str, result: dict[str, object]) -> int:
    """Of the weights; ValueError where they are not there."""
    if weights != SELECTED:
        return choose_checkpoint(run, None)[1]
    check_selected(run, None)
    chosen = result.get("selected")
    if not isinstance(chosen, dict) or not isinstance(chosen.get("step"), int):
        raise ValueError(f"{run / 'result.json'} has no `selected`; leave --weights {SELECTED} out")
    return int(chosen["step"])


def _temperature(request: ExportRequest, fits: bool, there: bool) -> tuple[str, tuple[str, ...]]:
    """Where the temperature goes, and what to say about it. ValueError where one is asked for and none was fitted."""
    if request.temperature == "none" or (fits and request.temperature):
        return request.temperature, ()
    if fits:
        return "inside", ()
    lacks = "is of other weights" if there else "is not there"
    why = f"calibration.json {lacks}: fit a temperature with python pipeline/evaluate.py {request.run}"
    if request.temperature:
        raise ValueError(f"--temperature {request.temperature}: {request.run}'s {why}")
    return "none", (f"no temperature: {why}",)
