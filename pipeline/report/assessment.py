"""The scores of a run with interval and simulated floor, differences between runs, and scores after post-hoc maps."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pipeline.calibration import proximity
from pipeline.calibration.scores import Sums, scores, slices, softmax, sums, top_label
from pipeline.calibration.sums import Floats, calibration_error, equal_width_sums
from pipeline.calibration.temperature import fit_temperature
from pipeline.report import ood, posthoc
from pipeline.report.glossary import SCORES
from pipeline.report.held_out import HeldOut
from pipeline.report.hull_walk import Walk, walk_points
from pipeline.report.options import ResamplingConfig
from pipeline.report.records import OodReport, PostHocReport, PostHocResult, ScoreDifference, ScoreEstimate, WalkPoint
from pipeline.report.resampling import Draws, PreparedPredictions, bootstrap, interval
from pipeline.report.simulated_floor import SimulatedFloor, simulated_floor
from pipeline.report.verified_predictions import VerifiedPredictions

NUMBERS_OF_BINS = (5, 10, 15, 20, 50)
TEMPERATURES = ("temperature", "temperature-by-ece")  # of posthoc.METHODS


@dataclass(frozen=True)
class Assessment:
    """The scores of one run: `values`, their bootstrap draws, and the floors that chance alone sets them."""

    values: Mapping[str, float]
    drawn: Draws
    floors: Mapping[str, SimulatedFloor]

    def estimates(self) -> dict[str, ScoreEstimate]:
        """Every score by name, in the order of SCORES."""
        return {name: self._estimate(name) for name in SCORES}

    def _estimate(self, name: str) -> ScoreEstimate:
        value, floor = self.values[name], self.floors[name]
        low, high = interval(value, self.drawn[name], 0, SCORES[name].maximum)
        return ScoreEstimate(value=value, low=low, high=high, floor=floor.mean, floor_high=floor.high)


def assess(of: VerifiedPredictions, resampling: ResamplingConfig) -> Assessment:
    """Draws as many test sets as `resampling` says."""
    prepared = PreparedPredictions(of.logits, of.labels, of.settings.ece_bins)
    return Assessment(
        values=scores(of.sums),
        drawn=bootstrap(prepared, resampling.draws, resampling.seed),
        floors=simulated_floor(prepared, resampling.floor_draws, resampling.seed),
    )


def differences(first: Assessment, other: Assessment) -> dict[str, ScoreDifference]:
    """`other` minus `first`, every score with its paired 95% interval.

    Paired because both were drawn with the same seed from the same test images: what makes an image hard for both
    does not widen the interval.
    """
    found = {}
    for name in SCORES:
        value = other.values[name] - first.values[name]
        maximum = SCORES[name].maximum
        low, high = interval(value, other.drawn[name] - first.drawn[name], -maximum, maximum)
        found[name] = ScoreDifference(difference=value, low=low, high=high)
    return found


def ece_by_bins(total: Sums) -> dict[int, float]:
    """ECE in percent by the number of bins: where these differ, ECE is a matter of bins."""
    samples = total.confidence, total.correct
    return {bins: 100 * float(calibration_error(equal_width_sums(*samples, bins, "left"))) for bins in NUMBERS_OF_BINS}


def post_hoc(of: VerifiedPredictions, held_out: HeldOut, methods: Sequence[str]) -> PostHocReport:
    """Scores before and after each of `methods`, all of them on the rows of the test set that are not held out."""
    rest, targets, ece_bins = of.logits[held_out.scored], of.labels[held_out.scored], of.settings.ece_bins
    results = {"none": PostHocResult(fitted="", scores=scores(sums(rest, targets, ece_bins)))}
    for method in methods:
        fitted = posthoc.METHODS[method](held_out.logits, held_out.labels)
        # A few rows at a time: mapped logits are float64.
        mapped = (sums(fitted.apply(rest[rows]), targets[rows], ece_bins) for rows in slices(*rest.shape))
        results[method] = PostHocResult(fitted=fitted.describe(), scores=scores(reduce(add, mapped)))
    return PostHocReport(
        source=held_out.source, fitted_on=len(held_out.labels), scored_on=len(targets), methods=results
    )


def pieces(of: VerifiedPredictions, near: Floats, held_out: HeldOut | None) -> dict[str, float]:
    """PIECE in percent before ("none") and after both temperatures, on the test images that are not held out."""
    rows = held_out.scored if held_out else np.arange(len(of.labels))
    logits, labels = of.logits[rows].astype(np.float64), of.labels[rows]
    maps = {name: posthoc.METHODS[name](held_out.logits, held_out.labels) for name in TEMPERATURES} if held_out else {}
    mapped = {"none": logits, **{name: scaled.apply(logits) for name, scaled in maps.items()}}
    return {name: 100 * proximity.piece(*top_label(softmax(each), labels), near[rows]) for name, each in mapped.items()}


def temperature_scaled(held_out: HeldOut) -> posthoc.Map:
    """The temperature of post-hoc calibration, for what is compared before and after it (Thulasidasan et al. 2019)."""
    return fit_temperature(held_out.logits, held_out.labels)


def out_of_distribution(
    logits: ArrayLike, others: Mapping[str, NDArray[Any]], scaled: posthoc.Map | None = None
) -> dict[str, OodReport]:
    """By name of the other images: how well they are told from all test images; `logits` [N, C] and [M, C].

    `scaled`: is applied to both. No label is looked at, so test images that it was fitted on need not be left out.
    """
    inside, scores = scaled.apply(logits) if scaled else logits, ood.meaningful(np.asarray(logits, dtype=np.float64))
    return {
        name: OodReport(len(other), ood.detection(inside, scaled.apply(other) if scaled else other, scores))
        for name, other in others.items()
    }


def walks_of(walk: Walk, scaled: posthoc.Map | None) -> dict[str, list[WalkPoint]]:
    """The points of a walk, and those of its temperature-scaled twin."""
    found = {"": walk_points(walk.logits, walk.labels)}
    if scaled:
        found["temperature-scaled"] = walk_points(scaled.apply(walk.logits), walk.labels)
    return found
