"""Writes the folder of an exported network, whole or not at all."""

import copy
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from torch import Tensor

from pipeline import distributed
from pipeline.data.dataset import open_beton
from pipeline.models.numerics import statistics
from pipeline.report.assessment import assess
from pipeline.report.options import ResamplingConfig
from pipeline.report.plots import reliability_figure
from pipeline.report.restore import Restored, restore
from pipeline.report.verified_predictions import VerifiedPredictions, checked, read_run, read_settings
from pipeline.runs.read import read_commit
from pipeline.shipping.card import Facts, card
from pipeline.shipping.onnx_file import OPSET, TOLERANCE, Classifier, largest_difference, write_onnx
from pipeline.shipping.preprocessing import preprocessing
from pipeline.shipping.request import Checked

EXAMPLE = Path(__file__).with_name("classify.py")
VERSIONS = ("torch", "onnx", "onnxruntime")


@dataclass(frozen=True)
class Shipped:
    """``difference``: the largest of a probability between torch and onnxruntime, over ``num_compared`` test images."""

    difference: float
    num_compared: int


def write_package(asked: Checked) -> Shipped:
    """Fills and publishes ``asked.request.to``. ValueError naming what cannot be read, or differs too much."""
    ranks = distributed.start()
    try:
        run = asked.request.run
        network = restore(run, asked.request.data, asked.weights, None, ranks)
        predictions = _predictions(asked, network)
        with _whole(asked.request.to) as folder:
            difference, count = _write_network(folder, asked, network)
            _write_words(folder, asked, network)
            facts = _facts(asked, network, predictions, difference, count)
            (folder / "README.md").write_text(card(facts), encoding="utf-8")
            _draw(folder / "reliability.png", asked, predictions)
        return Shipped(difference, count)
    finally:
        distributed.stop()


@contextmanager
def _whole(to: Path) -> Iterator[Path]:
    """A hidden folder beside ``to``, which takes its name at the end, and vanishes where something fails."""
    partial = to.with_name(f".{to.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)  # what a killed export left
    partial.mkdir()
    try:
        yield partial
        partial.rename(to)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _predictions(asked: Checked, network: Restored) -> VerifiedPredictions:
    """On the test set, by the weights that are exported: the run's own file, unless the user asks for others."""
    settings = read_settings(asked.request.run)
    if asked.weights == settings.weights:
        return read_run(asked.request.run)
    beton = network.dataset.test_beton
    found = checked(beton, network.logits(network.crops(beton)), open_beton(beton).metadata["f1"], "make it again")
    return VerifiedPredictions(asked.request.run, replace(settings, weights=asked.weights), *found, step=asked.step)


def _temperature(asked: Checked) -> float:
    return asked.calibration.temperature if asked.calibration else 1.0


def _output(asked: Checked) -> str:
    return "logits" if asked.temperature == "outside" else "probabilities"


def _write_network(folder: Path, asked: Checked, network: Restored) -> tuple[float, int]:
    """The weights in both formats; the largest difference between torch and onnxruntime, over how many images."""
    from safetensors.torch import save_file

    plain = copy.deepcopy(network.model).cpu().float().eval()
    weights = {name: tensor.contiguous() for name, tensor in plain.state_dict().items()}
    save_file(weights, str(folder / "model.safetensors"), metadata={"format": "pt", "step": str(asked.step)})
    classifier = Classifier(plain, None if _output(asked) == "logits" else _temperature(asked))
    file = folder / "model.onnx"
    write_onnx(file, classifier, network.dataset.image_size, _output(asked))
    difference, count = largest_difference(file, classifier, _test_images(network, asked.request.images))
    if not difference <= TOLERANCE:
        raise ValueError(
            f"--to {asked.request.to}: onnxruntime's probabilities differ from torch's by {difference:.1e}, more than "
            f"{TOLERANCE:g}; nothing was written: try another version of onnxruntime"
        )
    return difference, count


def _test_images(network: Restored, limit: int) -> Iterator[Tensor]:
    """Normalised float32 batches of the first test images, of which a beton's order is random."""
    beton = network.dataset.test_beton
    count = min(limit, len(open_beton(beton).metadata))
    for images in network.crops(beton, np.arange(count)).batches():
        yield network.numerics.normalise(images.to(network.numerics.device)).cpu().float()


def _write_words(folder: Path, asked: Checked, network: Restored) -> None:
    options = network.config
    of = statistics(options.augment.normalisation, network.dataset, options.model.name)
    rule = preprocessing(network.dataset, of, _output(asked), _temperature(asked))
    _write_json(folder / "preprocess.json", rule)
    _write_json(folder / "labels.json", network.dataset.classes)
    moved = replace(options, out="", data="data").to_dict()  # without the places of this machine
    (folder / "config.yaml").write_text(yaml.safe_dump(moved, sort_keys=False), encoding="utf-8")
    shutil.copyfile(EXAMPLE, folder / "classify.py")


def _write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _scaled(asked: Checked, predictions: VerifiedPredictions) -> VerifiedPredictions:
    return replace(predictions, logits=predictions.logits / _temperature(asked))


def _facts(asked: Checked, network: Restored, predictions: VerifiedPredictions, difference: float, count: int) -> Facts:
    scored = {"the network": predictions}
    if asked.calibration:
        scored["with temperature"] = _scaled(asked, predictions)
    dataset, method = network.dataset, predictions.settings.method
    return Facts(
        title=f"{method} on {network.config.dataset}",
        config=network.config,
        manifest=json.loads((dataset.folder / "manifest.json").read_text()),
        labelled=len(dataset.split),
        weights=asked.weights,
        step=asked.step,
        output=_output(asked),
        calibration=asked.calibration,
        scores={name: assess(of, ResamplingConfig()).estimates() for name, of in scored.items()},
        num_test=len(predictions.labels),
        difference=difference,
        num_compared=count,
        opset=OPSET,
        commit=read_commit(asked.request.run),
        versions={name: version(name) for name in VERSIONS},
    )


def _draw(path: Path, asked: Checked, predictions: VerifiedPredictions) -> None:
    shown = [("the network", predictions)]
    if asked.calibration:
        shown.append(("with temperature", _scaled(asked, predictions)))
    each = [(name, of.logits, of.labels) for name, of in shown]
    reliability_figure(each, predictions.settings.ece_bins).savefig(path)
