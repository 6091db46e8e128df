"""calibration.json: the temperature that evaluate.py fitted to a run's network, and what its confidences guarantee.

It travels with the run folder: predictions and exports read it. It holds for one network alone, named by `weights` and
`step`.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipeline.runs.files import write_atomically

NAME = "calibration.json"
REMEDY = "write it again with pipeline/evaluate.py RUN"


@dataclass(frozen=True)
class Acceptance:
    """From which confidence on predictions are right in `precision` of all cases, by `confidence_level`.

    `threshold`: None where none qualifies. `accepted` of `num_calibration` images reach it (or the strictest one tried,
    where none qualifies), `wrong` of these are wrong. `labels_needed`: how many labelled images would let that
    threshold qualify, other things equal; None where one qualifies, or where no number would do.
    """

    precision: float
    confidence_level: float
    threshold: float | None
    accepted: int
    wrong: int
    num_calibration: int
    labels_needed: int | None

    @property
    def accepted_share(self) -> float:
        """Of the calibration images."""
        return self.accepted / self.num_calibration


@dataclass(frozen=True)
class Guarantees:
    """What holds for images like the `num_images` labelled ones that it was found on, `calibrated_on` in words.

    `conformal`: quantiles of split conformal prediction, by method and coverage ("0.90"); None where so many images do
    not bound the score, so that a set holds every class.
    """

    calibrated_on: str
    num_images: int
    accept: Sequence[Acceptance]
    conformal: Mapping[str, Mapping[str, float | None]]


@dataclass(frozen=True)
class Calibration:
    """`temperature`: divides the logits; of the lowest `criterion` on `num_images` images, `fitted_on` in words.

    `weights` ("ema", "raw" or "selected") of `step` are the network. `images`: guarantees for new images. `pool`: for
    unlabelled images that the network was trained on; None where no labelled image went the same way.
    """

    temperature: float
    criterion: str
    fitted_on: str
    num_images: int
    weights: str
    step: int | None
    images: Guarantees
    pool: Guarantees | None

    def is_of(self, weights: str, step: int | None) -> bool:
        """Whether it was made with this network of the run."""
        return (self.weights, self.step) == (weights, step)


def write_calibration(run: Path, calibration: Calibration) -> Path:
    """Writes or replaces calibration.json of the run folder `run`; returns its path. OSError where that fails."""
    path = run / NAME
    content = asdict(calibration)
    for part in filter(None, (content["images"], content["pool"])):
        for each in part["accept"]:
            each["accepted_share"] = each["accepted"] / each["num_calibration"]  # for people and other programs
    write_atomically(path, json.dumps(content, indent=1))
    return path


def read_calibration(run: Path) -> Calibration | None:
    """Of the run folder `run`; None where it has none. ValueError naming the file where it is damaged."""
    path = run / NAME
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise ValueError(f"{path}: is not valid JSON ({error}); {REMEDY}") from error
    try:
        pool = content["pool"]
        known = {**content, "images": _guarantees(content["images"]), "pool": _guarantees(pool) if pool else None}
        found = Calibration(**known)
        if not found.temperature > 0:
            raise ValueError(f"temperature {found.temperature}")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"{path}: is damaged ({error}); {REMEDY}") from error
    return found


def _guarantees(content: Mapping[str, Any]) -> Guarantees:
    accept = [Acceptance(**{k: v for k, v in each.items() if k != "accepted_share"}) for each in content["accept"]]
    return Guarantees(**{**content, "accept": accept})
