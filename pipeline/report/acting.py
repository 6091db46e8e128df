"""What a run's confidences are good for, as the report shows it: selective accuracy, thresholds, prediction sets."""

import numpy as np

from pipeline.calibration import conformal
from pipeline.calibration.confidence_curve import curve, selective_accuracy
from pipeline.calibration.scores import softmax
from pipeline.calibration.sums import Floats, Ints
from pipeline.report.calibrating import calibration_of
from pipeline.report.held_out import HeldOut, split_rows
from pipeline.report.records import ActingReport, SetsReport
from pipeline.report.verified_predictions import VerifiedPredictions

COVERAGES = (10, 20, 30, 40, 50, 60, 70, 80, 90, 100)  # percent of the images, the most confident
WANTED = (80, 90, 95)  # percent of the sets that hold the right class


def acting_on(of: VerifiedPredictions, held_out: HeldOut | None, seed: int) -> ActingReport:
    """Thresholds and sets need `held_out` images for the temperature, and test images besides."""
    accuracy = selective_accuracy(curve(of.sums.confidence, of.sums.correct), np.array(COVERAGES) / 100)
    selective = {coverage: 100 * float(each) for coverage, each in zip(COVERAGES, accuracy, strict=True)}
    if held_out is None or len(held_out.scored) < 2:
        return ActingReport(selective, "", (), ())
    found = calibration_of(of, held_out)
    rest = held_out.scored
    probabilities = softmax(of.logits[rest].astype(np.float64) / found.temperature)
    return ActingReport(
        selective=selective,
        calibrated_on=found.images.calibrated_on,
        accept=found.images.accept,
        sets=prediction_sets(probabilities, of.labels[rest], seed),
    )


def prediction_sets(probabilities: Floats, labels: Ints, seed: int) -> list[SetsReport]:
    """Of each method: quantiles on a random half of `probabilities` [N, C] and `labels` [N], measured on the other."""
    fit, measured = split_rows(len(labels), 0.5, seed)
    share = np.random.default_rng(seed).uniform(size=len(labels))
    found = []
    for name, scores_of in conformal.METHODS.items():
        scores = scores_of(probabilities, share)
        right = conformal.right_scores(scores, labels)
        for wanted in WANTED:
            sets = conformal.prediction_sets(scores[measured], conformal.quantile(right[fit], wanted / 100))
            found.append(_measured(name, wanted, sets.sum(axis=1), sets[np.arange(len(sets)), labels[measured]]))
    return found


def _measured(method: str, wanted: float, size: Ints, covered: np.ndarray) -> SetsReport:
    return SetsReport(
        method=method,
        wanted=wanted,
        coverage=100 * float(covered.mean()),
        size=float(size.mean()),
        single=100 * float((size == 1).mean()),
        empty=100 * float((size == 0).mean()),
        num_images=len(size),
    )
