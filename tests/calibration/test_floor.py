"""The closed form of the ECE floor, against a simulation of perfectly calibrated models."""

import numpy as np
import pytest

from pipeline.calibration.floor import expected_ece_floor


@pytest.mark.parametrize("scale", [0.5, 2.0, 6.0])
@pytest.mark.parametrize("samples", [500, 8000])
def test_the_expected_floor_is_that_of_a_simulation(scale: float, samples: int) -> None:
    random = np.random.default_rng(1)
    logits = scale * random.normal(size=(samples, 10))
    confidence = (np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)).max(axis=1)
    bins = np.floor(10 * confidence).clip(0, 9)
    excess = (random.random((300, samples)) < confidence) - confidence  # correct less confidence, drawn 300 times
    drawn = sum(np.abs(excess[:, bins == b].sum(axis=1)) for b in range(10)) / samples
    assert expected_ece_floor(logits) == pytest.approx(100 * drawn.mean(), rel=0.1)
