"""SoftMatch: the worked first step, a slow reference over ten steps, and ranks that agree."""

from typing import Any

import numpy as np
import pytest
import torch

from pipeline.distributed import Ranks
from pipeline.methods.algorithms.softmatch import SoftMatch
from tests.support.problems import context
from tests.support.ranks import alone, on_ranks

ROWS = [[0.7, 0.2, 0.1], [0.1, 0.6, 0.3], [0.4, 0.35, 0.25], [0.05, 0.05, 0.9]]


def softmatch() -> SoftMatch:
    return SoftMatch(context())


def first_step(ranks: Ranks) -> Any:
    algorithm = softmatch()
    got = algorithm.pseudo_label(torch.tensor(ROWS, dtype=torch.float64).log(), torch.arange(4))
    return algorithm, got


def test_worked_first_step() -> None:
    """FACTS section 1."""
    algorithm, got = alone(first_step)
    assert algorithm.p_model.tolist() == pytest.approx([0.3125, 0.3, 0.3875])
    assert algorithm.mean.item() == pytest.approx(0.3336612155, abs=1e-8)
    assert algorithm.variance.item() == pytest.approx(0.9990366466, abs=1e-8)
    assert got.weight.tolist() == [1.0] * 4
    assert got.label.tolist() == [0, 1, 0, 2]


def test_worked_weights() -> None:
    """mu = .8, var = .01, aligned maxima .7 .6 .4 .9."""

    def weights(ranks: Ranks) -> list[float]:
        algorithm = softmatch()
        algorithm.mean.fill_(0.8)
        algorithm.variance.fill_(0.01)
        algorithm._follow = lambda confidence: None  # type: ignore[method-assign]
        algorithm._align = lambda probabilities: torch.tensor([[0.7], [0.6], [0.4], [0.9]])  # type: ignore[method-assign]
        return algorithm.pseudo_label(torch.zeros(4, 3, dtype=torch.float64), torch.arange(4)).weight.tolist()

    assert alone(weights) == pytest.approx([0.1353353, 3.354626e-4, 1.266417e-14, 1], rel=1e-5)


def batches() -> list[torch.Tensor]:
    random = torch.Generator().manual_seed(0)
    return [3 * torch.randn(8, 3, dtype=torch.float64, generator=random) for _ in range(10)]


def run(ranks: Ranks) -> Any:
    algorithm, each = softmatch(), 8 // ranks.world
    weights = []
    for logits in batches():
        got = algorithm.pseudo_label(logits[ranks.rank * each : (ranks.rank + 1) * each], torch.arange(each))
        weights.append(got.weight.numpy())
    return weights, algorithm.p_model.numpy(), algorithm.mean.item(), algorithm.variance.item()


def reference() -> Any:
    """USB's form in numpy, one row at a time."""
    p_model, mean, var, weights = None, 1 / 3, 1.0, []
    for logits in batches():
        shares = np.exp(logits.numpy()) / np.exp(logits.numpy()).sum(1, keepdims=True)
        batch = shares.mean(0)
        p_model = batch if p_model is None else 0.999 * p_model + 0.001 * batch
        tops = []
        for row in shares:
            aligned = row * (1 / 3 + 1e-6) / (p_model + 1e-6)
            tops.append((aligned / aligned.sum()).max())
        mean = 0.999 * mean + 0.001 * np.mean(tops)
        var = 0.999 * var + 0.001 * np.var(tops, ddof=1)
        weights.append([np.exp(-(min(t - mean, 0) ** 2) / (2 * var / 4)) for t in tops])
    return weights, p_model, mean, var


def test_ten_steps_equal_the_reference() -> None:
    for got, expected in zip(alone(run), reference(), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-12)


@pytest.mark.xdist_group("ranks")
def test_two_ranks_are_one() -> None:
    weights, *state = reference()
    zero, one = on_ranks(2, run)
    np.testing.assert_allclose(np.concatenate([zero[0], one[0]], axis=1), weights, rtol=1e-12)
    for part in (zero, one):
        for got, expected in zip(part[1:], state, strict=True):
            np.testing.assert_allclose(got, expected, rtol=1e-12)
