"""What a report is about: runs and prediction files, with what their networks say of other images."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.calibration.sums import Floats, Ints
from pipeline.report.hull_walk import Walk
from pipeline.report.inputs import NO_NETWORK, GivenRun, Inputs
from pipeline.report.pseudo_label_sample import PseudoLabelSample
from pipeline.report.verified_predictions import VerifiedPredictions

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class RunImages:
    """The images of a run's data set: each function gives uint8 [n, S, S, 3] at positions [n] in that beton.

    `files`: paths in the source of all images of "train" or "test", in order; empty where they are not known.
    """

    train: Callable[[Ints], Pixels]
    test: Callable[[Ints], Pixels]
    files: Callable[[str], list[str]]


@dataclass(frozen=True)
class Subject:
    """One run or prediction file, or what was averaged of them, and all that a report shows of it.

    `images` and `pseudo_labels` are None where there is no network; `note` then says why. `walk`: where --hull-walk
    asks for it. `proximity` [N] of the test images where --piece does. `log`: lines of metrics.jsonl.
    """

    name: str
    predictions: VerifiedPredictions
    classes: Sequence[str]
    ood_logits: Mapping[str, NDArray[Any]]  # [M, C] of out-of-distribution images, by name
    images: RunImages | None = None
    pseudo_labels: PseudoLabelSample | None = None
    walk: Walk | None = None
    proximity: Floats | None = None
    note: str = ""
    log: Sequence[Mapping[str, object]] = ()


def subject_of_file(given: GivenRun, inputs: Inputs) -> Subject:
    """A prediction file."""
    assert given.stored is not None
    return subject_without_network(given.name, given.stored, inputs, NO_NETWORK, ())


def subject_without_network(
    name: str, predictions: VerifiedPredictions, inputs: Inputs, note: str, log: Sequence[Mapping[str, object]]
) -> Subject:
    """Predictions alone: the classes are called by their numbers, and out-of-distribution images have to be files."""
    return Subject(
        name=name,
        predictions=predictions,
        classes=[str(label) for label in range(predictions.logits.shape[1])],
        ood_logits={short: inputs.ood_files[given] for short, given in inputs.ood.items()},
        note=note,
        log=log,
    )
