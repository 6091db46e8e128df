"""Scores that detect out-of-distribution images: by hand, against brute force, and mistakes."""

import numpy as np
import pytest

from pipeline.report.ood import OOD_SCORES, detection, max_softmax, negative_energy, negative_entropy
from pipeline.report.records import Detection


def test_scores_by_hand() -> None:
    logits = np.log(np.array([[0.5, 0.25, 0.25], [1 / 3, 1 / 3, 1 / 3]])) + 2
    assert max_softmax(logits) == pytest.approx([0.5, 1 / 3])
    assert negative_entropy(logits) == pytest.approx([-1.5 * np.log(2), -np.log(3)])
    assert negative_energy(logits) == pytest.approx([2, 2])
    huge = np.array([[1e4, -1e4]])
    assert [float(score(huge)[0]) for score in OOD_SCORES.values()] == pytest.approx([1, 0, 1e4])


def test_auroc_and_fpr95_are_what_they_say() -> None:
    generator = np.random.default_rng(0)
    inside, outside = generator.normal(1, 1, (200, 4)) * 3, generator.normal(0, 1, (300, 4)) * 2
    found = detection(inside, outside)
    for name, score in OOD_SCORES.items():
        here, there = score(inside), score(outside)
        greater = (here[:, None] > there).mean() + 0.5 * (here[:, None] == there).mean()
        assert found[name].auroc == pytest.approx(100 * greater)
        threshold = np.sort(here)[::-1][int(np.ceil(0.95 * 200)) - 1]
        assert found[name].fpr95 == pytest.approx(100 * (there >= threshold).mean())


def test_certain_against_flat_logits_separate_wholly() -> None:
    found = detection(np.eye(3) * 9, np.zeros((5, 3)))
    assert all(pair == Detection(auroc=100, fpr95=0) for pair in found.values())
    same = detection(np.eye(3), np.eye(3))
    assert all(pair == Detection(auroc=50, fpr95=100) for pair in same.values())


@pytest.mark.parametrize(
    ("inside", "outside", "message"),
    [
        (np.zeros((0, 3)), np.zeros((2, 3)), r"not \[0, 3\] and \[2, 3\]"),
        (np.zeros((2, 3)), np.zeros((2, 4)), r"not \[2, 3\] and \[2, 4\]"),
        (np.zeros((2, 3)), np.full((2, 3), np.nan), "NaN or Inf"),
    ],
)
def test_logits_that_cannot_be_compared_are_refused(inside: np.ndarray, outside: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        detection(inside, outside)
