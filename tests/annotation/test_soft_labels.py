"""lambda against Eq. 7, 10 and 11 written out, and the soft labels made of it."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipeline.annotation import soft_labels
from pipeline.annotation.projection import lambda_e
from tests.annotation.test_projection import some

FIRST, SECOND = torch.tensor([0, 1, 0, 2]), torch.tensor([1, 3, 3, 3])


@given(share=st.floats(-20, 20), scale=st.floats(0.1, 10))
def test_equation_11(share: float, scale: float) -> None:
    found = soft_labels.calibrated_lambda(torch.tensor([share], dtype=torch.float64), scale).item()
    exponent = -scale * (share - 0.5)
    assert found == pytest.approx(1 / (1 + math.exp(exponent)) if exponent < 700 else 0.0, rel=1e-12)


@pytest.mark.parametrize(("scale", "low", "high"), [(4.0, 0.119, 0.881), (2.3, 0.240, 0.760)])
def test_the_ceiling_of_the_method(scale: float, low: float, high: float) -> None:
    found = soft_labels.calibrated_lambda(torch.tensor([0.0, 0.5, 1.0]), scale)
    assert found.tolist() == pytest.approx([low, 0.5, high], abs=5e-4)


def test_equation_10_is_equation_7_in_terms_of_lambda_e() -> None:
    features, means, temperature = some(5, 4), some(6, 4), 3.0
    share = lambda_e(features, means, FIRST, SECOND)
    found = soft_labels.uncalibrated_lambda(share, means, FIRST, SECOND, temperature)
    for feature, a, b, value in zip(features, means[FIRST], means[SECOND], found, strict=True):
        assert value.item() == pytest.approx(1 / (1 + math.exp(-(feature @ a - feature @ b).item() / temperature)))


def test_without_the_biases_equation_10_is_equation_11() -> None:
    """Prototypes of one length and one distance: s = |m_a - m_b|^2 / tau."""
    means, share = torch.eye(4, dtype=torch.float64) * 3, torch.tensor([0.1, 0.5, 1.2, -0.3], dtype=torch.float64)
    found = soft_labels.uncalibrated_lambda(share, means, FIRST, SECOND, 4.5)
    torch.testing.assert_close(found, soft_labels.calibrated_lambda(share, 18 / 4.5))


def test_labels_between_two_classes() -> None:
    share = torch.tensor([0.25, 1.0, 0.0, 0.5])
    expected = [[0.25, 0.75, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1], [0, 0, 0.5, 0.5]]
    assert soft_labels.ratio(share, FIRST, SECOND, 4).tolist() == expected
    assert soft_labels.one_hot(share, FIRST, SECOND, 4).argmax(1).tolist() == [1, 1, 3, 2]
    found = soft_labels.reannotated(share, 4.0, FIRST, SECOND, 4)
    lam = 1 / (1 + np.exp(-4 * (share.numpy() - 0.5)))
    np.testing.assert_allclose(found[range(4), FIRST].numpy(), lam, rtol=1e-6)
    np.testing.assert_allclose(found.sum(1).numpy(), 1, rtol=1e-6)
    assert ((found > 0).sum(1) == 2).all()


def test_zero_shot_distributions_add_up_to_one() -> None:
    features, means = some(7, 5), some(8, 3)
    found = soft_labels.similarity_distribution(features.float(), means, 0.5)
    for feature, row in zip(features.float().double(), found, strict=True):
        cosines = [float(feature @ m / feature.norm() / m.norm()) for m in means]
        powers = np.exp(np.array(cosines) / 0.5)
        np.testing.assert_allclose(row.numpy(), powers / powers.sum(), rtol=1e-9)
    stored = found.float() * 1.001  # as rounding leaves it
    np.testing.assert_allclose(soft_labels.zero_shot(stored).sum(1).numpy(), 1, rtol=1e-6)
