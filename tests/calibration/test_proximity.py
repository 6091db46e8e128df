"""PIECE against a slow double loop over images and bins, and what follows from its definition."""

import math

import numpy as np
import pytest

from pipeline.calibration.proximity import piece, proximity
from pipeline.calibration.sums import calibration_error, equal_width_sums


def slow_proximity(test: np.ndarray, training: np.ndarray) -> list[float]:
    """exp(-mean distance to the ten nearest) by sorting all distances."""
    found = []
    for row in test:
        one = row / math.dist(row, np.zeros_like(row))
        distances = sorted(math.dist(one, other / math.dist(other, np.zeros_like(other))) for other in training)
        found.append(math.exp(-sum(distances[:10]) / len(distances[:10])))
    return found


def slow_piece(confidence: np.ndarray, correct: np.ndarray, near: np.ndarray) -> float:
    """Each of the 150 bins by itself; of distinct proximities, the first tenth of the images lies in the first bin."""
    num = len(near)
    rank = {value: place for place, value in enumerate(sorted(near))}
    total = 0.0
    for low in range(15):
        for tenth in range(10):
            inside = [
                i
                for i in range(num)
                if low / 15 < confidence[i] <= (low + 1) / 15 and rank[near[i]] * 10 // num == tenth
            ]
            total += abs(sum(correct[i] - confidence[i] for i in inside)) / num
    return total


@pytest.fixture
def images() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Confidence, correctness and proximity of 500 images; the far ones are wrong more often than they think."""
    generator = np.random.default_rng(0)
    confidence, near = generator.uniform(0.2, 1, 500), generator.uniform(0.1, 0.9, 500)
    return confidence, (generator.random(500) < confidence * (0.6 + 0.5 * near)).astype(float), near


@pytest.mark.parametrize("num", [4, 60])
def test_proximity_is_that_of_a_double_loop(num: int) -> None:
    generator = np.random.default_rng(num)
    test, training = generator.normal(size=(30, 7)), generator.normal(size=(num, 7))
    np.testing.assert_allclose(proximity(test, training), slow_proximity(test, training), rtol=1e-9)


def test_a_training_image_among_copies_of_itself_is_as_near_as_can_be() -> None:
    assert proximity(np.array([[3.0, 4.0]]), np.tile([[0.6, 0.8]], (12, 1))) == pytest.approx([1])
    assert np.isfinite(proximity(np.zeros((1, 2), np.float32), np.ones((3, 2), np.float32))).all()


def test_piece_is_that_of_a_double_loop(images: tuple[np.ndarray, ...]) -> None:
    assert piece(*images) == pytest.approx(slow_piece(*images), abs=1e-12)


def test_piece_is_no_less_than_ece_and_more_where_far_images_differ(images: tuple[np.ndarray, ...]) -> None:
    confidence, correct, near = images
    ece = float(calibration_error(equal_width_sums(confidence, correct, 15, "right")))
    assert piece(*images) > ece
    assert piece(confidence, correct, np.ones(500)) == pytest.approx(ece)  # all in one bin of proximity
    order = np.random.default_rng(1).permutation(500)
    assert piece(confidence[order], correct[order], np.round(near, 1)[order]) == pytest.approx(
        piece(confidence, correct, np.round(near, 1))
    )
