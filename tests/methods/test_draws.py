"""Draws of mixing: which options share a lambda, and its distribution."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from pipeline.distributed import Ranks
from pipeline.methods.mixes.draws import labelled_draws, lambdas, listed_draws
from tests.support.problems import LABELLED, context, mixing_pool
from tests.support.ranks import alone


def draws(ranks: Ranks, per: str, step: int = 5, repeat: int = 0) -> Any:
    options = context(f"mixing.lambda_per={per}").config.mixing
    return labelled_draws(options, 0, mixing_pool(ranks, step=step), repeat)


@pytest.mark.parametrize(("per", "same_direction", "same_all"), [("step", 1, 1), ("direction", 1, 0), ("pair", 0, 0)])
def test_one_lambda_per(per: str, same_direction: int, same_all: int) -> None:
    partner, easy, hard = alone(draws, per)
    assert len(set(partner.tolist())) == LABELLED
    assert (len(set(easy.tolist())) == 1) == bool(same_direction)
    assert (easy.tolist() == hard.tolist()) == (per != "direction")
    assert same_all == (len({*easy.tolist(), *hard.tolist()}) == 1)
    again = alone(draws, per, 6)
    assert (again[1].tolist() == easy.tolist()) == (per == "pair")  # else a function of the step


def test_repeats_draw_anew() -> None:
    one, two = (alone(draws, "pair", 5, repeat) for repeat in (0, 1))
    assert not set(one[0].tolist()) & set(two[0].tolist())
    assert not set(one[1].tolist()) & set(two[1].tolist())


@pytest.mark.parametrize(("per", "different"), [("step", 1), ("direction", 2), ("pair", 5)])
def test_lists_share_lambda_by_kind(per: str, different: int) -> None:
    def made(ranks: Ranks) -> Any:
        options = context(f"mixing.lambda_per={per}").config.mixing
        return listed_draws(options, 0, mixing_pool(ranks), np.array([0, 0, 1, 1, 1]))

    one, other, lam = alone(made)
    assert len(set(lam.tolist())) == different
    assert len({*one.tolist(), *other.tolist()}) == 10


def test_lambda_is_beta_distributed() -> None:
    options = context("mixing.alpha=0.4").config.mixing
    uniform = (np.arange(20_000) + 0.5) / 20_000
    lam = lambdas(options, uniform)
    assert lam.mean() == pytest.approx(0.5, abs=1e-6)
    assert lam.var() == pytest.approx(1 / (4 * (2 * 0.4 + 1)), abs=1e-3)
    folded = lambdas(replace(options, fold_max=True), uniform)
    np.testing.assert_array_equal(folded, np.maximum(lam, 1 - lam))
    assert set(lambdas(replace(options, lambda_from="fixed"), uniform)) == {0.4}
