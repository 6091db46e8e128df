"""Where our definitions coincide with those of torchmetrics, netcal and scikit-learn, the numbers do."""

import warnings

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from netcal.metrics import ACE, ECE, MCE
from sklearn.metrics import accuracy_score, brier_score_loss, log_loss
from torchmetrics.functional.classification import multiclass_calibration_error

from pipeline.calibration.confidence_curve import curve, equal_mass_bins
from pipeline.calibration.scores import scores, softmax, sums, top_label
from pipeline.calibration.sums import calibration_error, equal_width_sums, maximum_error, rms_error
from tests.support.worked_examples import random_predictions

SEEDS = st.integers(0, 2**32 - 1)


def off_the_edges(probabilities: np.ndarray, bins: int) -> np.ndarray:
    """Samples whose confidence is on no edge: torchmetrics has float32 edges and an extra bin at 1."""
    scaled = probabilities.max(axis=1) * bins
    return np.abs(scaled - np.round(scaled)) > 1e-4


@given(
    seed=SEEDS,
    samples=st.integers(1, 200),
    classes=st.integers(2, 12),
    scale=st.floats(0.1, 6),
    bins=st.integers(1, 30),
)
def test_torchmetrics(seed: int, samples: int, classes: int, scale: float, bins: int) -> None:
    logits, labels = random_predictions(seed, samples, classes, scale)
    probabilities = softmax(logits.astype(np.float64))
    keep = off_the_edges(probabilities, bins)
    assume(keep.any())
    binned = equal_width_sums(*top_label(probabilities[keep], labels[keep]), bins, "left")
    for norm, ours in (("l1", calibration_error), ("l2", rms_error), ("max", maximum_error)):
        theirs = multiclass_calibration_error(
            torch.from_numpy(probabilities[keep]), torch.from_numpy(labels[keep]), classes, n_bins=bins, norm=norm
        )
        assert ours(binned) == pytest.approx(theirs.item(), abs=2e-6)


@given(seed=SEEDS, samples=st.integers(20, 200), scale=st.floats(0.1, 4), bins=st.integers(2, 20))
def test_netcal(seed: int, samples: int, scale: float, bins: int) -> None:
    logits, labels = random_predictions(seed, samples, 6, scale)
    labels[:3] = 0, 1, 2  # netcal takes two labels for a binary problem
    probabilities = softmax(logits.astype(np.float64))
    confidence, correct = top_label(probabilities, labels)
    binned = equal_width_sums(confidence, correct, bins, "left")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = [measure(bins).measure(probabilities, labels) for measure in (ECE, MCE, ACE)]
    gaps = np.abs(binned.correct - binned.confidence)[binned.count > 0] / binned.count[binned.count > 0]
    ours = (calibration_error(binned), maximum_error(binned), gaps.mean())  # its ACE: the bins' plain mean
    assert ours == pytest.approx(theirs, abs=1e-9)


@given(seed=SEEDS, per_bin=st.integers(2, 12), bins=st.integers(2, 15))
def test_netcal_bins_of_equal_mass(seed: int, per_bin: int, bins: int) -> None:
    logits, labels = random_predictions(seed, per_bin * bins, 6)
    labels[:3] = 0, 1, 2
    probabilities = softmax(logits.astype(np.float64))
    theirs = ECE(bins, equal_intervals=False).measure(probabilities, labels)
    ours = calibration_error(equal_mass_bins(curve(*top_label(probabilities, labels)), bins))
    assert ours == pytest.approx(theirs, abs=1e-9)


@given(seed=SEEDS, samples=st.integers(1, 150), classes=st.integers(2, 10), scale=st.floats(0.1, 5))
def test_scikit_learn(seed: int, samples: int, classes: int, scale: float) -> None:
    logits, labels = random_predictions(seed, samples, classes, scale)
    probabilities = softmax(logits.astype(np.float64))
    known, values = np.arange(classes), scores(sums(logits, labels))
    assert values["error"] == pytest.approx(100 * (1 - accuracy_score(labels, probabilities.argmax(1))), abs=1e-9)
    assert values["nll"] == pytest.approx(log_loss(labels, probabilities, labels=known), abs=1e-9)
    one_class = [brier_score_loss(labels == label, probabilities[:, label], pos_label=True) for label in known]
    assert values["brier"] == pytest.approx(sum(one_class), abs=1e-9)
