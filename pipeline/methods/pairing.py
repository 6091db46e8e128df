"""Easy and hard, similar and dissimilar: who is mixed with whom (CalibrateMix, Algorithm 1).

All functions have fixed shapes and no host synchronisation. Positions count through the mixing pool
[labelled images, unlabelled images].
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def hard_and_easy(difficulty: Tensor) -> tuple[Tensor, Tensor]:
    """Divides by sort rank: the lowest floor(n/2) margins are hard, the rest easy.

    ``difficulty`` [n] floating -> positions (hard [n//2], easy [n - n//2]) int64. Stable by (value, position),
    so ties and the number of ranks change nothing (torch.median would divide 3 to 1 where it is the lower middle).
    """
    order = torch.sort(difficulty, stable=True).indices
    half = len(order) // 2
    return order[:half], order[half:]


def hard_mask(difficulty: Tensor, halves: str) -> Tensor:
    """``difficulty`` [n] -> [n] bool: the hard half by ``rank``, or what lies below the true ``median``."""
    if halves == "median":
        return difficulty < difficulty.quantile(0.5)
    hard = torch.zeros(len(difficulty), dtype=torch.bool, device=difficulty.device)
    return hard.index_fill(0, hard_and_easy(difficulty)[0], True)


def num_candidates(count: Tensor, k_percent: float | None, k_count: int | None = None) -> Tensor:
    """How many of ``count`` [A] int64 candidates a partner is drawn from -> [A] int64, at least 1.

    k% of them (0: all), or ``k_count``, but no more than there are.
    """
    if k_count is not None:
        k = torch.full_like(count, k_count)
    else:
        k = (k_percent / 100 * count.double()).round().long() if k_percent else count
    return torch.minimum(k, count).clamp(min=1)


def least_similar_first(queries: Tensor, candidates: Tensor) -> Tensor:
    """Positions [A, K] int64 of the candidates, of lowest cosine similarity first: [A, D], [K, D] floating."""
    return torch.sort(cosine(queries, candidates), dim=1, stable=True).indices


def cosine(queries: Tensor, candidates: Tensor) -> Tensor:
    """[A, D], [K, D] -> similarities [A, K] in [-1, 1]."""
    return F.normalize(queries, dim=1) @ F.normalize(candidates, dim=1).T


def pick(order: Tensor, k: Tensor, uniform: Tensor) -> Tensor:
    """One of the first ``k`` [A] columns of each row: ``order`` [A, K], ``uniform`` [A] in [0, 1) -> [A]."""
    column = torch.minimum((uniform.double() * k).long(), k - 1)
    return order.gather(1, column[:, None]).squeeze(1)


def opposite_partners(
    queries: Tensor,
    candidates: Tensor,
    queries_hard: Tensor,
    candidates_hard: Tensor,
    uniform: Tensor,
    k_percent: float | None,
    k_count: int | None = None,
) -> Tensor:
    """A partner of the other half for each query, one of its k least similar (CalibrateMix Eqs. 6-9).

    queries [A, D], candidates [K, D], their ``hard`` [A], [K] bool, ``uniform`` [A] in [0, 1) -> positions [A] int64 in
    candidates. Halves of any size cost the same and keep the shapes; where the other half is empty (a median of equal
    values), the partner is the least similar of all.
    """
    same_half = queries_hard[:, None] == candidates_hard[None, :]
    beyond = 4.0  # more than two cosines can differ by: the wrong half comes last
    order = torch.sort(cosine(queries, candidates) + beyond * same_half, dim=1, stable=True).indices
    return pick(order, num_candidates((~same_half).sum(dim=1), k_percent, k_count), uniform)
