"""What post-hoc methods are fitted on: validation images, a share of the test set that is not scored, or a file."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.calibration.sums import Ints
from pipeline.report.verified_predictions import FILE_REMEDY, VerifiedPredictions, checked
from pipeline.runs.read import read_predictions

WITHOUT_VALIDATION = 0.2  # share of the test set


@dataclass(frozen=True)
class FitFile:
    """Predictions on other images than the test set's, to fit on."""

    name: str
    logits: NDArray[Any]  # [M, C]
    labels: Ints  # [M]


@dataclass(frozen=True)
class HeldOut:
    """Predictions that post-hoc methods are fitted on, and the rows of the test set that are scored."""

    logits: NDArray[Any]  # [M, C]
    labels: Ints  # [M]
    scored: Ints  # rows of the test set
    source: str  # in words


def read_fit_on(given: str) -> float | FitFile:
    """The value of --fit-on: a share in [0, 1), or the predictions of a file. ValueError naming the option or file."""
    if given.endswith(".npz"):
        logits, labels = checked(Path(given), *read_predictions(Path(given)), FILE_REMEDY)
        return FitFile(given, logits, labels)
    try:
        share = float(given)
    except ValueError:
        share = -1
    if not 0 <= share < 1:
        raise ValueError(f"--fit-on {given}: give a share from 0 to less than 1, or an .npz file")
    return share


def hold_out_validation(of: VerifiedPredictions) -> HeldOut | None:
    """The images that the run itself held out; all of the test set is scored. None where there are none.

    Images that went through the unlabelled stream are none: the network knows them better than test images.
    """
    if of.unseen is None:
        return None
    logits, labels = of.unseen
    return HeldOut(logits, labels, np.arange(len(of.labels)), "the validation images of the run")


def hold_out(fit_on: float | FitFile, logits: NDArray[Any], labels: Ints, seed: int) -> HeldOut | None:
    """What the methods are fitted on for this test set, `logits` [N, C] and `labels` [N]; None for a share of 0."""
    if isinstance(fit_on, FitFile):
        return hold_out_file(fit_on, logits)
    return hold_out_share(fit_on, logits, labels, seed) if fit_on > 0 else None


def hold_out_share(share: float, logits: NDArray[Any], labels: Ints, seed: int) -> HeldOut:
    """A random `share` of the test set to fit on; the rest is scored. ValueError where one part would be empty."""
    if len(labels) < 2:
        raise ValueError(f"--fit-on {share:g}: {len(labels)} test image cannot be split; use 0")
    fit, scored = split_rows(len(labels), share, seed)
    source = f"a random {share:.0%} of the test set (seed {seed})"
    return HeldOut(logits=logits[fit], labels=labels[fit], scored=scored, source=source)


def hold_out_file(fit: FitFile, logits: NDArray[Any]) -> HeldOut:
    """Predictions on other images; all of the test set is scored. ValueError where the test set shares images."""
    if fit.logits.shape[1] != logits.shape[1]:
        raise ValueError(f"--fit-on {fit.name}: {fit.logits.shape[1]} classes, the test set has {logits.shape[1]}")
    test = {row.tobytes() for row in np.ascontiguousarray(logits, dtype=np.float32)}
    shared = sum(row.tobytes() in test for row in np.ascontiguousarray(fit.logits, dtype=np.float32))
    if shared:
        raise ValueError(
            f"--fit-on {fit.name}: {shared} of its {len(fit.logits)} predictions are also in the test set; "
            f"give images that are not tested, or a share such as 0.2"
        )
    return HeldOut(logits=fit.logits, labels=fit.labels, scored=np.arange(len(logits)), source=fit.name)


def split_rows(num: int, share: float, seed: int) -> tuple[Ints, Ints]:
    """(rows to fit on, rows to score), sorted and disjoint; `share` in (0, 1) of `num`, at least one of each."""
    order = np.random.default_rng(seed).permutation(num)
    cut = min(max(1, round(share * num)), num - 1)
    return np.sort(order[:cut]), np.sort(order[cut:])
