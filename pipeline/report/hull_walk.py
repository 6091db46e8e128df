"""The walk out of the convex hull of the training images (Thulasidasan et al. 2019, appendix D).

An image x with pixels in [0, 1] becomes x + mu d / |d|, where d has as many numbers as the image, each uniform in
(-1, 1); pixels are neither rounded nor clipped. Mu goes from .01, which nobody sees, to 100, where nothing is left of
the image. Accuracy, mean winning score and mean entropy against mu say whether confidence goes where accuracy goes.
"""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, fields

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pipeline.calibration.scores import softmax, top_label
from pipeline.calibration.sums import Floats, Ints
from pipeline.report.ood import negative_entropy
from pipeline.report.records import WalkPoint

MU = tuple(float(mu) for mu in np.logspace(-2, 2, 21))


@dataclass(frozen=True)
class Walk:
    """What a network says of the same images at every mu: `logits` [n, len(MU), C], `labels` [n]."""

    logits: NDArray[np.floating]
    labels: Ints


def direction(seed: int, index: int, size: int) -> Floats:
    """A random unit vector [size] for the image at `index`, whatever other images are walked, and in which batches."""
    drawn = np.random.default_rng((seed, index)).uniform(-1, 1, size)
    return drawn / math.sqrt(drawn @ drawn)


def walk_points(logits: ArrayLike, labels: Ints) -> list[WalkPoint]:
    """One point a mu, of logits [n, len(MU), C] and labels [n]."""
    return [
        _point(mu, at.astype(np.float64), labels) for mu, at in zip(MU, np.asarray(logits).swapaxes(0, 1), strict=True)
    ]


def _point(mu: float, logits: Floats, labels: Ints) -> WalkPoint:
    confidence, correct = top_label(softmax(logits), labels)
    entropy = -float(negative_entropy(logits).mean())
    return WalkPoint(mu, 100 * float(correct.mean()), 100 * float(confidence.mean()), entropy)


def walk_csv(walks: Mapping[str, Mapping[str, Sequence[WalkPoint]]]) -> str:
    """A line for each run by name, each way that its logits were taken, and each mu."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["run", "logits", *(field.name for field in fields(WalkPoint))])
    for run, ways in walks.items():
        for way, points in ways.items():
            writer.writerows([run, way or "plain", *(f"{n:.6g}" for n in astuple(point))] for point in points)
    return text.getvalue()
