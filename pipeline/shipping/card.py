"""The model card: README.md of an exported network, in Markdown (after Mitchell et al. 2019)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from pipeline.config import DEFAULTS, flat_values
from pipeline.config.options import Config
from pipeline.report.records import ScoreEstimate
from pipeline.runs.calibration_file import Calibration

PLACES = ("out", "data", "threads", "profile")  # of one machine, not of the network

Scores = Mapping[str, ScoreEstimate]


@dataclass(frozen=True)
class Facts:
    """What the card tells. ``scores``: by what was scored, such as "with temperature"."""

    title: str
    config: Config
    manifest: Mapping[str, Any]
    labelled: int
    weights: str
    step: int
    output: str
    calibration: Calibration | None
    scores: Mapping[str, Scores]
    num_test: int
    difference: float
    num_compared: int
    opset: int
    commit: str | None
    versions: Mapping[str, str]


def card(facts: Facts) -> str:
    """The whole page."""
    parts = [_head(facts), _scores(facts), _use(facts), _data(facts), _recipe(facts), _origin(facts)]
    return "\n\n".join(parts) + "\n"


def _head(facts: Facts) -> str:
    classes = facts.manifest["classes"]
    size = facts.manifest["image_size"]
    return (
        f"# {facts.title}\n\nClassifies images of {size} x {size} px as one of {len(classes)} classes "
        f"({_some(classes)}) and says how sure it is. Network: `{facts.config.model.name}`."
    )


def _some(names: list[str]) -> str:
    return ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")


def _scores(facts: Facts) -> str:
    rows = [f"| {name} | {_interval(of['error'])} | {_interval(of['ece'])} |" for name, of in facts.scores.items()]
    floors = [f" {of['ece'].floor:.2f} / {of['ece'].floor_high:.2f} |" for of in facts.scores.values()]
    bins = facts.config.evaluation.ece_bins
    return "\n".join(
        [
            f"## Error and calibration on {facts.num_test:,} test images\n",
            "| | error, % | ECE, % | floor of the ECE |",
            "|---|--:|--:|--:|",
            *map("".join, zip(rows, floors, strict=True)),
            f"\nWith 95% bootstrap intervals; ECE over {bins} equal bins. The floor (mean / 97.5% quantile) is what a "
            "perfectly calibrated model with the same confidences would score on as many images.",
            _temperature(facts.calibration),
            "\n![Reliability diagram](reliability.png)",
            "\nConfidences hold for images like the test set's; on others they can be wrong without notice.",
        ]
    )


def _interval(of: ScoreEstimate) -> str:
    return f"{of.value:.2f} [{of.low:.2f}, {of.high:.2f}]"


def _temperature(calibration: Calibration | None) -> str:
    if calibration is None:
        return "\nNo temperature is applied: confidences are the network's own."
    return (
        f"\nThe temperature, {calibration.temperature:.4f}, has the lowest {calibration.criterion.upper()} on "
        f"{calibration.num_images:,} images: {calibration.fitted_on}. The table includes those that are test images."
    )


def _use(facts: Facts) -> str:
    asks = {
        "probabilities": "It answers probabilities.",
        "logits": "It answers logits: divide them by `temperature` of preprocess.json before the softmax.",
    }
    return (
        "## Use\n\n    pip install onnxruntime pillow numpy\n    python classify.py IMAGE\n\n"
        "| file | what it is |\n|---|---|\n"
        f"| `model.onnx` | float32, opset {facts.opset}, any number of images. {asks[facts.output]} |\n"
        "| `model.safetensors` | the same weights, by the names of this project; `model.weights` of a training run |\n"
        "| `preprocess.json` | from an image file to the input: size, resizing, crop, mean, std |\n"
        "| `labels.json` | the classes in the order of the output |\n"
        "| `config.yaml` | every option of the training run |\n\n"
        f"On {facts.num_compared:,} test images onnxruntime's probabilities differ from torch's by at most "
        f"{facts.difference:.1e}."
    )


def _data(facts: Facts) -> str:
    manifest, counts = facts.manifest, facts.manifest["counts"]
    whole = ", ".join(f"{name} {number:,}" for name, number in counts.items() if isinstance(number, int))
    source = manifest.get("source")
    named = f" from `{source['name']}` ({source['kind']})" if isinstance(source, dict) and "name" in source else ""
    return (
        f"## Data\n\n`{manifest.get('name', facts.config.dataset)}`{named}; images: {whole}. "
        f"{facts.labelled:,} labelled images (`{facts.config.labels}`, seed {facts.config.seed}) were trained on."
    )


def _recipe(facts: Facts) -> str:
    values = flat_values(facts.config)
    changed = {name: value for name, value in values.items() if value != DEFAULTS[name] and name not in PLACES}
    text = yaml.safe_dump(changed, sort_keys=False).strip()
    return f"## Recipe\n\nOptions that differ from the defaults of CalibrateMix:\n\n```yaml\n{text}\n```"


def _origin(facts: Facts) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in facts.versions.items())
    return (
        f"## Origin\n\nWeights: `{facts.weights}` of step {facts.step:,}. Trained with CalibrateMix at commit "
        f"`{facts.commit or 'unknown'}`. Exported with {versions}."
    )
