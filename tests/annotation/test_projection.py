"""lambda_E against its definition, and what it does not depend on."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from pipeline.annotation.projection import class_sums, lambda_e, prototypes

CLASSES = ["ant", "bee", "cow"]


def some(seed: int, rows: int, dims: int = 7) -> Tensor:
    return torch.randn(rows, dims, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def slow(feature: np.ndarray, a: np.ndarray, b: np.ndarray) -> float:
    """Eq. 8 solved as it stands: f = l a + (1 - l) b + r with r orthogonal to a - b."""
    line = a - b
    system = np.block([[line[:, None], np.eye(len(a))], [np.zeros((1, 1)), line[None]]])
    return float(np.linalg.solve(system, np.append(feature - b, 0.0))[0])


def test_it_solves_equation_8() -> None:
    features, means = some(0, 20), some(1, 3)
    first, second = torch.tensor([0, 0, 1] * 6 + [0, 1]), torch.tensor([1, 2, 2] * 6 + [2, 2])
    found = lambda_e(features.float(), means, first, second)
    rows = zip(features.float().double().numpy(), means[first].numpy(), means[second].numpy(), strict=True)
    np.testing.assert_allclose(found.numpy(), [slow(*row) for row in rows], rtol=1e-10, atol=1e-12)


@given(seed=st.integers(0, 2**31), dims=st.integers(1, 40), scale=st.floats(1e-3, 1e3))
def test_prototypes_are_at_exactly_one_and_zero(seed: int, dims: int, scale: float) -> None:
    means = scale * some(seed, 2, dims)
    first, second = torch.tensor([0, 0]), torch.tensor([1, 1])
    assert lambda_e(means, means, first, second).tolist() == [1.0, 0.0]


@given(seed=st.integers(0, 2**31), share=st.floats(-2, 3), length=st.floats(-50, 50))
@settings(max_examples=60)
def test_a_residual_orthogonal_to_the_pair_changes_nothing(seed: int, share: float, length: float) -> None:
    means, residual = some(seed, 2), some(seed + 1, 1)[0]
    line = means[0] - means[1]
    residual = residual - line * (residual @ line) / (line @ line)
    feature = share * means[0] + (1 - share) * means[1] + length * residual
    assert lambda_e(feature[None], means, *torch.tensor([[0], [1]])).item() == pytest.approx(share, abs=1e-9)


def test_prototypes_are_means_over_all_batches() -> None:
    features, labels = some(2, 30), torch.arange(30) % 3
    parts = [class_sums(features[i::2].float(), labels[i::2], 3) for i in range(2)]
    sums, counts = (sum(each) for each in zip(*parts, strict=True))
    assert isinstance(sums, Tensor) and isinstance(counts, Tensor) and counts.tolist() == [10, 10, 10]
    expected = [features[labels == label].mean(0).tolist() for label in range(3)]
    np.testing.assert_allclose(prototypes(sums, counts, CLASSES).numpy(), expected, atol=1e-6)


def test_a_class_without_an_image_has_no_prototype() -> None:
    sums, counts = class_sums(some(3, 4), torch.tensor([0, 2, 2, 0]), 3)
    with pytest.raises(ValueError, match=r"no labelled image of class bee, so it has no prototype; choose --labels"):
        prototypes(sums, counts, CLASSES)


@pytest.mark.parametrize("shift", [0.0, 1e-9])
def test_two_classes_with_one_mean_are_refused(shift: float) -> None:
    """Also where rounding alone tells them apart."""
    sums = some(4, 3)
    sums[2] = 3 * sums[0] * (1 + shift)
    with pytest.raises(ValueError, match="classes ant and cow have the same mean features: nothing lies between them"):
        prototypes(sums, torch.tensor([1.0, 5.0, 3.0], dtype=torch.float64), CLASSES)


def test_features_that_are_all_the_same_are_refused() -> None:
    with pytest.raises(ValueError, match="same mean features"):
        prototypes(torch.ones(3, 5, dtype=torch.float64), torch.ones(3, dtype=torch.float64), CLASSES)
