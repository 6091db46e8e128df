"""Deep ensembles (Lakshminarayanan et al. 2017): the mean softmax of several runs, as one more subject of a report."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.calibration.averages import mean_prediction
from pipeline.calibration.sums import Ints
from pipeline.report.hull_walk import Walk
from pipeline.report.inputs import Inputs
from pipeline.report.subjects import Subject
from pipeline.report.verified_predictions import RunSettings, VerifiedPredictions


def with_ensemble(subjects: Sequence[Subject], inputs: Inputs) -> list[Subject]:
    """The subjects, of which the first are the given runs in order, and the ensemble of those that --ensemble names."""
    members = [subjects[number] for number in inputs.ensemble]
    return [*subjects, ensemble(members)] if members else list(subjects)


def ensemble(members: Sequence[Subject]) -> Subject:
    """The mean softmax on the test set, and on other images that all members have seen.

    ValueError where members have other classes; that their test labels are the same has been checked.
    """
    first, paths = members[0], [member.predictions.path for member in members]
    for member in members:
        if member.images and first.images and list(member.classes) != list(first.classes):
            raise ValueError(
                f"--ensemble: {member.predictions.path} has other classes than {paths[0]}; average runs of one data set"
            )
    found = [member.predictions for member in members]
    weights = {of.settings.weights for of in found}
    settings = RunSettings("", weights.pop() if len(weights) == 1 else "", found[0].settings.ece_bins)
    return Subject(
        name=f"ensemble of {len(members)}",
        predictions=VerifiedPredictions(
            path=Path(os.path.commonpath([path.resolve() for path in paths])),
            settings=settings,
            logits=mean_prediction(of.logits for of in found),
            labels=found[0].labels,
            validation=_validation(found),
        ),
        classes=first.classes,
        ood_logits={
            kind: mean_prediction(member.ood_logits[kind] for member in members)
            for kind in first.ood_logits
            if all(kind in member.ood_logits for member in members)
        },
        walk=_walk([member.walk for member in members]),
    )


def _validation(members: Sequence[VerifiedPredictions]) -> tuple[NDArray[Any], Ints] | None:
    """None where members held out other images: each has then learned some of the others'."""
    known = [of.unseen for of in members if of.unseen]
    if len(known) < len(members) or not all(np.array_equal(labels, known[0][1]) for _, labels in known):
        return None
    return mean_prediction(logits for logits, _ in known), known[0][1]


def _walk(walks: Sequence[Walk | None]) -> Walk | None:
    """Of all members, or None."""
    known = [walk for walk in walks if walk]
    if len(known) < len(walks):
        return None
    shape = known[0].logits.shape
    logits = mean_prediction(walk.logits.reshape(-1, shape[-1]) for walk in known)
    return Walk(logits.reshape(shape), known[0].labels)
