"""Moments that add up, and the Frechet distance against its printed form."""

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm

from pipeline import distributed
from pipeline.distributed import Ranks
from pipeline.encoders.moments import FeatureSums, frechet_distance
from tests.support.ranks import alone


def sums_of(features: np.ndarray, parts: int = 3) -> FeatureSums:
    found = FeatureSums.none(features.shape[1], torch.device("cpu"))
    for part in np.array_split(features, parts):
        found.add(torch.from_numpy(part))
    return found


def some(seed: int, rows: int, dims: int = 6) -> np.ndarray:
    generator = np.random.default_rng(seed)
    return generator.normal(size=(rows, dims)) @ generator.normal(size=(dims, dims)) + generator.normal(size=dims)


def test_moments_of_parts() -> None:
    features = some(0, 50)
    mean, covariance = sums_of(features).mean_and_covariance()
    np.testing.assert_allclose(mean, features.mean(0), rtol=1e-12)
    np.testing.assert_allclose(covariance, np.cov(features.T), rtol=1e-10)
    both = sums_of(features[:20]).plus(sums_of(features[20:]))
    np.testing.assert_allclose(both.mean_and_covariance()[1], covariance, rtol=1e-10)


@pytest.mark.parametrize("rows", [40, 4])  # 4: the covariance has no full rank
def test_distance_as_printed(rows: int) -> None:
    first, second = some(1, 60), some(2, rows)
    c1, c2 = np.cov(first.T), np.cov(second.T)
    root = sqrtm(c1 @ c2)
    expected = ((first.mean(0) - second.mean(0)) ** 2).sum() + np.trace(c1 + c2 - 2 * root).real
    assert frechet_distance(sums_of(first), sums_of(second)) == pytest.approx(expected, rel=1e-5)


def test_distance_to_itself_and_to_what_is_moved() -> None:
    features = some(3, 30)
    assert frechet_distance(sums_of(features), sums_of(features)) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(sums_of(features), sums_of(features + 2)) == pytest.approx(6 * 4)


def test_sums_over_one_rank_are_its_own() -> None:
    def total(ranks: Ranks) -> FeatureSums:
        assert distributed.launched_world() == (0, 1)
        return sums_of(some(4, 10)).over_ranks()

    np.testing.assert_array_equal(alone(total).outer.numpy(), sums_of(some(4, 10)).outer.numpy())
