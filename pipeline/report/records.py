"""Every number of a report: the records that tables and sentences are made from, and report.json."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

from pipeline.report.options import ResamplingConfig
from pipeline.runs.calibration_file import Acceptance


@dataclass(frozen=True)
class ScoreEstimate:
    """A score, its 95% interval from `low` to `high`, and its simulated floor: mean and 97.5% quantile."""

    value: float
    low: float
    high: float
    floor: float
    floor_high: float


@dataclass(frozen=True)
class ScoreDifference:
    """How much a score differs between two runs, with a paired 95% interval."""

    difference: float
    low: float
    high: float

    @property
    def is_clear(self) -> bool:
        """The interval does not hold 0."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True)
class PostHocResult:
    """The scores after a post-hoc method, and what it `fitted`, in words; "" for the scores before any."""

    fitted: str
    scores: Mapping[str, float]


@dataclass(frozen=True)
class PostHocReport:
    """Post-hoc methods on the same test images, fitted on `source`; "none" is before any method."""

    source: str
    fitted_on: int  # predictions
    scored_on: int  # test images
    methods: Mapping[str, PostHocResult]


@dataclass(frozen=True)
class Detection:
    """How well a score separates test images from others, in percent; see ood.py."""

    auroc: float
    fpr95: float


@dataclass(frozen=True)
class OodReport:
    """How well images of one other kind are detected, by score."""

    num_images: int
    detection: Mapping[str, Detection]


@dataclass(frozen=True)
class SetsReport:
    """Prediction sets of a `method` (calibration/conformal.py) that are to hold the right class in `wanted` percent.

    Measured on `num_images`: `coverage`, `single` and `empty` in percent, `size` as the mean number of classes.
    """

    method: str
    wanted: float
    coverage: float
    size: float
    single: float
    empty: float
    num_images: int


@dataclass(frozen=True)
class ActingReport:
    """What confidences are good for: `selective`, accuracy by coverage, both in percent; thresholds; prediction sets.

    `calibrated_on`: what thresholds were found on, in words; "" where no temperature is fitted, so there are none.
    """

    selective: Mapping[int, float]
    calibrated_on: str
    accept: Sequence[Acceptance]
    sets: Sequence[SetsReport]


@dataclass(frozen=True)
class WalkPoint:
    """Means over images at the distance `mu` (hull_walk.py); accuracy and confidence in percent, entropy in nats."""

    mu: float
    accuracy: float
    confidence: float
    entropy: float


@dataclass(frozen=True)
class RunReport:
    """The numbers of one run, prediction file or mean of them. `note`: why there are no images; "" where there are.

    `ood_scaled`: as `ood`, after the logits were divided by the temperature of post-hoc calibration. `walks`: points of
    the walk out of the convex hull, by "" for the network itself, and by what was done to its logits. `piece`: PIECE in
    percent before ("none") and after each temperature, on the images that `post_hoc` scores; {} unless asked for.
    """

    name: str
    path: str
    weights: str | None
    step: int | None
    num_samples: int
    num_classes: int
    ece_bins: int
    scores: Mapping[str, ScoreEstimate]
    ece_by_bins: Mapping[int, float]
    post_hoc: PostHocReport | None
    ood: Mapping[str, OodReport]
    ood_scaled: Mapping[str, OodReport]
    walks: Mapping[str, Sequence[WalkPoint]]
    note: str
    acting: ActingReport
    piece: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class DifferenceReport:
    """The scores of the run `other` minus those of the run `first`."""

    first: str
    other: str
    scores: Mapping[str, ScoreDifference]


@dataclass(frozen=True)
class Report:
    """Everything in report.json. `figures`: file names without an ending."""

    version: str
    resampling: ResamplingConfig
    runs: Sequence[RunReport]
    differences: Sequence[DifferenceReport]
    figures: Sequence[str]


def report_json(report: Report) -> str:
    """The text of report.json."""
    content = {
        "version": report.version,
        **asdict(report.resampling),
        "runs": [_run(run) for run in report.runs],
        "differences": [_difference(each) for each in report.differences],
        "figures": list(report.figures),
    }
    return json.dumps(content, indent=1)


def _run(run: RunReport) -> dict[str, object]:
    """Flatter than the records: readers of report.json find each method's and each kind's numbers by name."""
    flat = {"ood": _ood(run.ood), "ood_scaled": _ood(run.ood_scaled)}
    return {**asdict(run), "post_hoc": _post_hoc(run.post_hoc) if run.post_hoc else None, **flat}


def _ood(kinds: Mapping[str, OodReport]) -> dict[str, object]:
    return {
        name: {"num_images": each.num_images, **{score: asdict(found) for score, found in each.detection.items()}}
        for name, each in kinds.items()
    }


def _post_hoc(found: PostHocReport) -> dict[str, object]:
    methods = {name: {"fitted": each.fitted, **each.scores} for name, each in found.methods.items()}
    return {**asdict(found), "methods": methods}


def _difference(each: DifferenceReport) -> dict[str, object]:
    return {
        "from": each.first,
        "to": each.other,
        "scores": {name: asdict(score) for name, score in each.scores.items()},
    }
