"""Easy, hard and partners: traps of FACTS section 4 and 5, and a slow reference of Algorithm 1."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipeline.methods.pairing import (
    hard_and_easy,
    hard_mask,
    least_similar_first,
    num_candidates,
    opposite_partners,
    pick,
)


def test_split_by_rank_not_by_lower_median() -> None:
    """torch.median of these is .1, which would call three easy."""
    hard, easy = hard_and_easy(torch.tensor([0.5, -1.0, 2.0, 0.1]))
    assert (hard.tolist(), easy.tolist()) == ([1, 3], [0, 2])


def test_ties_split_by_position() -> None:
    hard, easy = hard_and_easy(torch.zeros(5))
    assert (hard.tolist(), easy.tolist()) == ([0, 1], [2, 3, 4])


@pytest.mark.parametrize(
    ("percent", "num", "expected"), [(5, 224, 11), (10, 224, 22), (5, 8, 1), (0, 9, 9), (100, 3, 3)]
)
def test_number_of_candidates(percent: float, num: int, expected: int) -> None:
    assert num_candidates(torch.tensor([num]), percent).tolist() == [expected]


def test_least_similar_is_cosine_not_distance() -> None:
    query = torch.tensor([[1.0, 0.0]])
    candidates = torch.tensor([[100.0, 1.0], [-0.01, 0.0], [0.0, 5.0]])
    assert least_similar_first(query, candidates).tolist() == [[1, 2, 0]]


def test_pick_covers_all_columns() -> None:
    candidates = torch.arange(12).reshape(3, 4)
    assert pick(candidates, torch.tensor([4, 4, 4]), torch.tensor([0.0, 0.5, 0.9999999])).tolist() == [0, 6, 11]


def slow_pairs(aum: list, apm: list, lf: np.ndarray, uf: np.ndarray, percent: float, u: list) -> list[int]:
    """Algorithm 1, lines 4-10, one labelled image at a time."""
    by_aum = sorted(range(len(aum)), key=lambda i: (aum[i], i))
    by_apm = sorted(range(len(apm)), key=lambda i: (apm[i], i))
    hard_l, half = set(by_aum[: len(aum) // 2]), len(apm) // 2
    partners = []
    for i in range(len(aum)):
        candidates = by_apm[half:] if i in hard_l else by_apm[:half]
        k = max(1, round(percent / 100 * len(candidates)))
        cosine = {j: lf[i] @ uf[j] / np.linalg.norm(lf[i]) / np.linalg.norm(uf[j]) for j in candidates}
        nearest = sorted(candidates, key=lambda j: cosine[j])[:k]
        partners.append(nearest[int(u[i] * k)])
    return partners


@given(st.integers(0, 10**6), st.integers(2, 9), st.integers(4, 30), st.sampled_from([0.0, 5.0, 20.0, 100.0]))
def test_partners_equal_the_slow_reference(seed: int, num_l: int, num_u: int, percent: float) -> None:
    random = np.random.default_rng(seed)
    aum, apm = random.integers(0, 4, num_l).astype(float), random.normal(size=num_u)
    lf, uf, u = random.normal(size=(num_l, 6)), random.normal(size=(num_u, 6)), random.random(num_l)
    aum_t, apm_t, lf_t, uf_t, u_t = (torch.from_numpy(x) for x in (aum, apm, lf, uf, u))
    hard = hard_mask(aum_t, "rank"), hard_mask(apm_t, "rank")
    partners = opposite_partners(lf_t, uf_t, *hard, u_t, percent)
    assert partners.tolist() == slow_pairs(aum.tolist(), apm.tolist(), lf, uf, percent or 100, u.tolist())
    by_aum = sorted(range(num_l), key=lambda i: (aum[i], i))
    assert hard[0].nonzero().flatten().tolist() == sorted(by_aum[: num_l // 2])


def test_a_count_of_candidates_goes_before_the_share() -> None:
    query, candidates = torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0, 0.5], [-1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    hard = torch.tensor([False]), torch.tensor([True, False, True, True])  # the least similar is easy, too
    chosen = {
        opposite_partners(query, candidates, *hard, torch.tensor([u]), 5.0, k).item()
        for k in (2,)
        for u in (0.0, 0.3, 0.6, 0.999)
    }
    assert chosen == {2, 0}
    assert opposite_partners(query, candidates, *hard, torch.tensor([0.9999]), 5.0, 99).item() == 3


def test_median_split_keeps_equal_values_together() -> None:
    assert hard_mask(torch.tensor([0.5, -1.0, 2.0, 0.1]), "median").tolist() == [False, True, False, True]
    assert hard_mask(torch.zeros(4), "median").tolist() == [False] * 4
    everyone = opposite_partners(
        torch.eye(3), torch.eye(3), *[torch.zeros(3, dtype=torch.bool)] * 2, torch.zeros(3), 5.0
    )
    assert everyone.tolist() == [1, 0, 0]  # nobody is hard: the least similar of all
