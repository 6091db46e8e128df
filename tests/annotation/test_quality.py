"""The numbers of generated groups against slow forms."""

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import spearmanr

from pipeline.annotation.packed import Groups
from pipeline.annotation.quality import overall, pair_quality, rank_correlation


def groups(first: list[int], second: list[int], places: int = 4) -> Groups:
    ratios = np.linspace(0, 1, places)
    names = ["ant", "bee", "cow"]
    return Groups(Path("none"), "own", names, 8, np.array(first), np.array(second), ratios, None, "0")


def test_rank_correlation_is_spearmans() -> None:
    values = np.random.default_rng(0).normal(size=(30, 8))
    values[:10] = values[:10].round()  # ties
    values[29] = 1  # constant: nothing rises
    found = rank_correlation(values)
    expected = [spearmanr(row, np.arange(8)).statistic for row in values[:29]]
    np.testing.assert_allclose(found[:29], expected, rtol=1e-12)
    assert found[29] == 0


def test_numbers_by_pair() -> None:
    """Three groups of two pairs: that of (0, 1) has two, of which one has a wrong end."""
    of = groups([0, 1, 0], [1, 2, 1])
    lambda_e = np.array([[0, 0.5, 0.6, 1.0], [1.0, 0.8, 0.9, 1.2], [-0.2, 0.1, 0.4, 1.0]], np.float32)
    predicted = np.array([[1, 0, 0, 0], [2, 0, 0, 1], [1, 1, 1, 2]])
    found = pair_quality(of, lambda_e.reshape(-1), predicted.reshape(-1))
    assert found.pairs.tolist() == [[0, 1], [1, 2]] and found.groups.tolist() == [2, 1]
    np.testing.assert_allclose(found.curves, [[-0.1, 0.3, 0.5, 1.0], [1.0, 0.8, 0.9, 1.2]], atol=1e-7)
    assert found.ends.tolist() == [[1.0, 0.5], [1.0, 1.0]] and found.rising.tolist() == [True, False]
    numbers = overall(of, lambda_e.reshape(-1), found)
    assert numbers["ends_as_intended"] == pytest.approx(5 / 6) and numbers["rising_pairs"] == 1
    expected = np.mean([spearmanr(row, np.arange(4)).statistic for row in lambda_e])
    assert numbers["rank_correlation"] == pytest.approx(expected)
    assert numbers["lambda_e_outside"] == pytest.approx(2 / 12)
    assert numbers["lambda_e_by_place"] == pytest.approx(lambda_e.mean(0).tolist(), abs=1e-6)
