"""Are the promises of predict.py kept? Thresholds and prediction sets in random splits of a pool with known labels.

    python benchmarks/promises.py RUN [--data data] [--accept 0.95] [--coverage 0.9] [--calibrate-on 300]
        [--splits 40] [--halves 20] [--seed 0]

RUN: a run with validation=N unlabelled.include_validation=true, evaluated by pipeline/evaluate.py. Its pool and its
validation images went through training alike, so any random N of them can stand for the validation images: in each
split a threshold is found on --calibrate-on of them, and counted on the rest how many are accepted, and right. In each
half a quantile is found on one half, and the coverage of the sets measured on the other, beside the interval in which
it lies in 99.9% of all cases (a beta-binomial distribution, for coverage is exchangeable). The last line is one JSON
object: {"broken": splits in which fewer of the accepted were right than promised, "accepted": their mean share,
"outside": halves outside the interval, of both kinds of sets}.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import betabinom

from pipeline import distributed
from pipeline.calibration import conformal
from pipeline.calibration.acceptance import find_threshold
from pipeline.calibration.scores import softmax, top_label
from pipeline.calibration.sums import Floats, Ints
from pipeline.distributed import Ranks
from pipeline.report.restore import restore
from pipeline.report.verified_predictions import read_settings
from pipeline.runs.calibration_file import read_calibration


def main() -> None:
    """Prints what became of the promises, then the JSON line."""
    given = _parser().parse_args()
    ranks = distributed.start()
    try:
        probabilities, labels = pool(given.run, given.data, ranks)
    finally:
        distributed.stop()
    generator = np.random.default_rng(given.seed)
    found = accepting(probabilities, labels, given, generator) | covering(probabilities, labels, given, generator)
    print(json.dumps(found))


def pool(run: Path, data: str | None, ranks: Ranks) -> tuple[Floats, Ints]:
    """Calibrated probabilities [N, C] and labels [N] of what was drawn as unlabelled. ValueError where these lack."""
    calibration = read_calibration(run)
    if calibration is None or calibration.pool is None:
        raise SystemExit(
            f"{run}: no promise for its pool; train with unlabelled.include_validation=true, then evaluate.py"
        )
    network = restore(run, data, read_settings(run).weights, None, ranks)
    dataset = network.dataset
    drawn = np.setdiff1d(np.flatnonzero(dataset.hidden_labels >= 0), dataset.split)
    logits = network.logits(network.crops(dataset.train_beton, drawn)).astype(np.float64)
    return softmax(logits / calibration.temperature), dataset.hidden_labels[drawn]


def accepting(
    probabilities: Floats, labels: Ints, given: argparse.Namespace, generator: np.random.Generator
) -> dict[str, Any]:
    """Promises of --accept in --splits random splits."""
    confidence, correct = top_label(probabilities, labels)
    kept, shares = [], []
    for _ in range(given.splits):
        fit, rest = _parts(len(labels), given.calibrate_on, generator)
        threshold = find_threshold(confidence[fit], correct[fit], given.accept).threshold
        accepted = confidence[rest] >= (np.inf if threshold is None else threshold)
        shares.append(accepted.mean())
        kept.append(not accepted.any() or bool(correct[rest][accepted].mean() >= given.accept))
    broken = kept.count(False)
    print(
        f"{len(labels):,} images, {100 * correct.mean():.1f}% right. Accepted as right in {given.accept:.0%}, from "
        f"{given.calibrate_on} labels: {100 * np.mean(shares):.1f}% of the rest; promise broken in {broken} of "
        f"{given.splits} splits"
    )
    return {"broken": broken, "accepted": round(float(np.mean(shares)), 3)}


def covering(
    probabilities: Floats, labels: Ints, given: argparse.Namespace, generator: np.random.Generator
) -> dict[str, Any]:
    """Coverage of the sets in --halves random halves."""
    outside = 0
    for name, scores_of in conformal.METHODS.items():
        scores = scores_of(probabilities, generator.uniform(size=len(labels)))
        right = conformal.right_scores(scores, labels)
        covered = []
        for _ in range(given.halves):
            fit, rest = _parts(len(labels), len(labels) // 2, generator)
            covered.append(float((right[rest] <= conformal.quantile(right[fit], given.coverage)).mean()))
        low, high = interval(len(labels) // 2, len(labels) - len(labels) // 2, given.coverage)
        outside += sum(not low <= each <= high for each in covered)
        print(
            f"{name}: coverage of {given.halves} halves at {given.coverage:.0%}: {100 * min(covered):.1f} to "
            f"{100 * max(covered):.1f}% (99.9% interval {100 * low:.1f} to {100 * high:.1f}%)"
        )
    return {"outside": outside}


def interval(calibrated: int, measured: int, coverage: float) -> tuple[float, float]:
    """Between these lies the coverage of ``measured`` images in 99.9% of all draws (Vovk 2012, Proposition 2b)."""
    rank = int(np.ceil((calibrated + 1) * coverage - 1e-9))
    low, high = betabinom.ppf((0.0005, 0.9995), measured, rank, calibrated + 1 - rank)
    return low / measured, high / measured


def _parts(count: int, first: int, generator: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    order = generator.permutation(count)
    return order[:first], order[first:]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--data", help="folder that holds the run's data set, if it has moved since training")
    parser.add_argument("--accept", type=float, default=0.95)
    parser.add_argument("--coverage", type=float, default=0.9)
    parser.add_argument("--calibrate-on", type=int, default=300)
    parser.add_argument("--splits", type=int, default=40)
    parser.add_argument("--halves", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    return parser


if __name__ == "__main__":
    main()
