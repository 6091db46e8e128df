"""The mean of predictions is the mean of their probabilities, also where these round to 0."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.calibration.averages import mean_prediction
from pipeline.calibration.scores import metrics, softmax


@given(st.integers(1, 5), st.integers(0, 2**32 - 1), st.sampled_from([0.1, 3, 300]))
def test_mean_of_probabilities(members: int, seed: int, size: float) -> None:
    logits = size * np.random.default_rng(seed).normal(size=(members, 7, 3))
    found = mean_prediction(iter(logits))
    assert np.isfinite(found).all()
    np.testing.assert_allclose(
        np.exp(found), np.mean([softmax(each) for each in logits], axis=0), rtol=1e-11, atol=1e-290
    )


def test_of_one_or_of_copies_is_that_one() -> None:
    generator = np.random.default_rng(0)
    logits, labels = 5 * generator.normal(size=(200, 4)), generator.integers(0, 4, 200)
    for copies in (1, 10):
        np.testing.assert_allclose(softmax(mean_prediction([logits] * copies)), softmax(logits), rtol=1e-14)
        assert metrics(mean_prediction([logits] * copies), labels) == pytest.approx(metrics(logits, labels), abs=1e-9)


def test_two_that_are_certain_of_different_classes() -> None:
    sure = np.array([[2000.0, 0, 0], [0, 2000, 0]])
    np.testing.assert_allclose(softmax(mean_prediction([sure, sure[::-1]])), [[0.5, 0.5, 0]] * 2, atol=1e-15)
