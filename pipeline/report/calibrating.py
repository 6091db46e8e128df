"""What a run's confidences can be used for, as calibration.json keeps it: temperature, thresholds, prediction sets."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.calibration import conformal
from pipeline.calibration.acceptance import LEVEL, find_threshold, labels_needed
from pipeline.calibration.scores import softmax, top_label
from pipeline.calibration.sums import Floats, Ints
from pipeline.calibration.temperature import Temperature, fit_temperature
from pipeline.report.held_out import HeldOut
from pipeline.report.verified_predictions import VerifiedPredictions
from pipeline.runs.calibration_file import Acceptance, Calibration, Guarantees, write_calibration

PRECISIONS = (0.9, 0.95, 0.98, 0.99)
COVERAGES = tuple(percent / 100 for percent in range(50, 100))


def calibration_of(of: VerifiedPredictions, held_out: HeldOut) -> Calibration:
    """Of a run whose temperature is fitted on `held_out`.

    Thresholds and quantiles come from the test images that are not held out: confidences divided by a temperature that
    was fitted on the same labels would be better on them than on others. Those for the pool come from the validation
    images, where these went through the unlabelled stream without their labels as the pool did.
    """
    temperature = fit_temperature(held_out.logits, held_out.labels)
    rest = held_out.scored
    drawn = of.validation if of.settings.validation_drawn else None
    whole = "the test set" if len(rest) == len(of.labels) else "the rest of the test set"
    return Calibration(
        temperature=temperature.temperature,
        criterion="nll",
        fitted_on=held_out.source,
        num_images=len(held_out.labels),
        weights=of.settings.weights,
        step=of.step,
        images=guarantees(temperature, of.logits[rest], of.labels[rest], whole),
        pool=guarantees(temperature, *drawn, "validation images drawn as unlabelled ones") if drawn else None,
    )


def guarantees(temperature: Temperature, logits: NDArray[Any], labels: Ints, calibrated_on: str) -> Guarantees:
    """Found on `logits` [N, C] and `labels` [N] that the temperature was not fitted on."""
    probabilities = softmax(temperature.apply(logits))
    confidence, correct = top_label(probabilities, labels)
    share = np.random.default_rng(0).uniform(size=len(labels))
    return Guarantees(
        calibrated_on=calibrated_on,
        num_images=len(labels),
        accept=[_acceptance(confidence, correct, precision) for precision in PRECISIONS],
        conformal={
            name: _quantiles(conformal.right_scores(scores(probabilities, share), labels))
            for name, scores in conformal.METHODS.items()
        },
    )


def keep_calibration(of: VerifiedPredictions, held_out: HeldOut) -> str:
    """Writes calibration.json into the run folder; says why it could not, "" where it could.

    A folder that may only be read is no mistake: the report is what was asked for.
    """
    try:
        write_calibration(of.path, calibration_of(of, held_out))
    except OSError as error:
        return f"{of.path}: calibration.json not written ({error.strerror}); predictions will not be calibrated"
    return ""


def _acceptance(confidence: Floats, correct: Floats, precision: float) -> Acceptance:
    found, num = find_threshold(confidence, correct, precision), len(confidence)
    return Acceptance(
        precision=precision,
        confidence_level=LEVEL,
        threshold=found.threshold,
        accepted=found.accepted,
        wrong=found.wrong,
        num_calibration=num,
        labels_needed=labels_needed(confidence, correct, precision) if found.threshold is None else None,
    )


def _quantiles(scores: Floats) -> dict[str, float | None]:
    found = {f"{coverage:.2f}": conformal.quantile(scores, coverage) for coverage in COVERAGES}
    return {coverage: bound if np.isfinite(bound) else None for coverage, bound in found.items()}
