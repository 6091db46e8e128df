"""Every number of a report, as plain values: scores with interval and floor, post-hoc maps, foreign images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pipeline.calibration.scores import scores, slices, sums
from pipeline.calibration.sums import Ints, calibration_error, equal_width_sums
from pipeline.report import ood, posthoc
from pipeline.report.resampling import Draws, Predictions, bootstrap, floor, interval
from pipeline.report.scores import SCORES

OTHER_BINS = (5, 10, 15, 20, 50)


@dataclass(frozen=True)
class Effort:
    """How much is drawn, and from which seed."""

    draws: int = 1000
    floor_draws: int = 200
    seed: int = 0


@dataclass(frozen=True)
class Assessment:
    """The scores of one run: `values`, their bootstrap draws, and draws of a perfectly calibrated model."""

    values: dict[str, float]
    drawn: Draws
    floor: Draws

    def rows(self) -> dict[str, dict[str, float]]:
        """{score: {"value", "low", "high", "floor", "floor_high"}} in the order of SCORES."""
        found = {}
        for name in SCORES:
            low, high = interval(self.values[name], self.drawn[name], 0, SCORES[name].most)
            expected = {
                "floor": float(self.floor[name].mean()),
                "floor_high": float(np.quantile(self.floor[name], 0.975)),
            }
            found[name] = {"value": self.values[name], "low": low, "high": high, **expected}
        return found


def assess(logits: ArrayLike, labels: ArrayLike, ece_bins: int, effort: Effort) -> Assessment:
    """ValueError as in `calibration.check_predictions`."""
    predictions = Predictions(logits, labels, ece_bins)
    return Assessment(
        scores(sums(logits, labels, ece_bins)),
        bootstrap(predictions, effort.draws, effort.seed),
        floor(predictions, effort.floor_draws, effort.seed),
    )


def difference(first: Assessment, second: Assessment) -> dict[str, dict[str, float]]:
    """{score: {"difference", "low", "high"}}: second minus first, with the paired 95% interval.

    Paired because both were drawn with the same seed from the same test images: what makes an image hard for both
    does not widen the interval.
    """
    found = {}
    for name in SCORES:
        value = second.values[name] - first.values[name]
        most = SCORES[name].most
        low, high = interval(value, second.drawn[name] - first.drawn[name], -most, most)
        found[name] = {"difference": value, "low": low, "high": high}
    return found


def by_bins(logits: ArrayLike, labels: ArrayLike) -> dict[str, float]:
    """{number of bins: ECE in percent}: where these differ, ECE is a matter of bins."""
    total = sums(logits, labels)
    pair = total.confidence, total.correct
    return {str(bins): 100 * float(calibration_error(equal_width_sums(*pair, bins, "left"))) for bins in OTHER_BINS}


@dataclass(frozen=True)
class HeldOut:
    """Predictions that post-hoc methods are fitted on, the rows of the test set that are scored, and where from."""

    logits: NDArray[Any]
    labels: Ints
    scored: Ints
    source: str


def post_hoc(
    logits: NDArray[Any], labels: Ints, held_out: HeldOut, methods: Sequence[str], ece_bins: int
) -> dict[str, Any]:
    """Scores on the same rows before and after each of `methods`."""
    rest, targets = logits[held_out.scored], labels[held_out.scored]
    results = {"none": {"fitted": "", **scores(sums(rest, targets, ece_bins))}}
    for method in methods:
        fitted = posthoc.METHODS[method](held_out.logits, held_out.labels)
        # Few rows at a time: mapped logits are float64.
        mapped = (sums(fitted.apply(rest[rows]), targets[rows], ece_bins) for rows in slices(*rest.shape))
        results[method] = {"fitted": fitted.describe(), **scores(reduce(add, mapped))}
    return {
        "source": held_out.source,
        "fitted_on": len(held_out.labels),
        "scored_on": len(targets),
        "methods": results,
    }


def held_out_share(logits: NDArray[Any], labels: Ints, share: float, seed: int) -> HeldOut:
    """A random `share` of the test set to fit on; the rest is scored. ValueError where one part would be empty."""
    if len(labels) < 2:
        raise ValueError(f"--calibration-split {share:g}: {len(labels)} test image cannot be split; use 0")
    fit, scored = posthoc.split(len(labels), share, seed)
    source = f"a random {share:.0%} of the test set, not scored (seed {seed})"
    return HeldOut(logits[fit], labels[fit], scored, source)


def held_out_file(name: str, fit: tuple[NDArray[Any], Ints], logits: NDArray[Any]) -> HeldOut:
    """Predictions on other images; all of the test set is scored. ValueError where images are in both."""
    if fit[0].shape[1] != logits.shape[1]:
        raise ValueError(f"--calibration-split {name}: {fit[0].shape[1]} classes, the test set has {logits.shape[1]}")
    test = {row.tobytes() for row in np.ascontiguousarray(logits, dtype=np.float32)}
    shared = sum(row.tobytes() in test for row in np.ascontiguousarray(fit[0], dtype=np.float32))
    if shared:
        raise ValueError(
            f"--calibration-split {name}: {shared} of its {len(fit[0])} predictions are in the test set too; "
            f"give images that are not tested, or a share such as 0.2"
        )
    return HeldOut(*fit, np.arange(len(logits)), name)


def out_of_distribution(logits: ArrayLike, foreign: Mapping[str, ArrayLike]) -> dict[str, Any]:
    """{name: {"num_images", score: {"auroc", "fpr95"}}} of other images against the test images."""
    return {
        name: {"num_images": len(np.asarray(other)), **ood.detection(logits, other)} for name, other in foreign.items()
    }
