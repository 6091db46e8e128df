"""Easy, hard and partners: traps of FACTS section 4 and 5, and a slow reference of Algorithm 1."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.pairing import calibratemix_pairs, hard_and_easy, least_similar, num_candidates, pick


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
    assert num_candidates(percent, num) == expected


def test_least_similar_is_cosine_not_distance() -> None:
    query = torch.tensor([[1.0, 0.0]])
    candidates = torch.tensor([[100.0, 1.0], [-0.01, 0.0], [0.0, 5.0]])
    assert least_similar(query, candidates, 2).tolist() == [[1, 2]]


def test_pick_covers_all_columns() -> None:
    candidates = torch.arange(12).reshape(3, 4)
    assert pick(candidates, torch.tensor([0.0, 0.5, 0.9999999])).tolist() == [0, 6, 11]


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


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 9), st.integers(4, 30), st.sampled_from([5.0, 20.0, 100.0]))
def test_pairs_equal_the_slow_reference(seed: int, num_l: int, num_u: int, percent: float) -> None:
    random = np.random.default_rng(seed)
    aum, apm = random.integers(0, 4, num_l).astype(float), random.normal(size=num_u)
    lf, uf, u = random.normal(size=(num_l, 6)), random.normal(size=(num_u, 6)), random.random(num_l)
    lam = random.random((2, num_l))
    pairs = calibratemix_pairs(
        *(torch.from_numpy(x) for x in (aum, apm, lf, uf)), percent, *map(torch.tensor, (u, *lam))
    )
    assert pairs.first.tolist() == list(range(num_l))
    assert (pairs.second - num_l).tolist() == slow_pairs(aum.tolist(), apm.tolist(), lf, uf, percent, u.tolist())
    hard = set(sorted(range(num_l), key=lambda i: (aum[i], i))[: num_l // 2])
    assert pairs.lam.tolist() == [lam[1 if i in hard else 0][i] for i in range(num_l)]


@given(st.integers(0, 10**6), st.integers(2, 20), st.integers(2, 50))
def test_no_pair_holds_two_unlabelled_images(seed: int, num_l: int, num_u: int) -> None:
    random = torch.Generator().manual_seed(seed)
    draw = [torch.rand(n, generator=random) for n in (num_l, num_u)]
    features = [torch.rand(n, 3, generator=random) for n in (num_l, num_u)]
    pairs = calibratemix_pairs(*draw, *features, 5.0, *torch.rand(3, num_l, generator=random))
    assert (pairs.first < num_l).all()
    assert (pairs.second >= num_l).all()
    assert (pairs.second < num_l + num_u).all()
