"""Easy and hard, similar and dissimilar: who is mixed with whom (CalibrateMix, Algorithm 1).

All functions have fixed shapes and no host synchronisation. Positions count through the pool
[labelled images, unlabelled images].
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

if TYPE_CHECKING:
    from pipeline.config.options import MixingConfig


@dataclass(frozen=True, slots=True)
class Pairs:
    """M mixed images: ``lam`` x pool[first] + (1 - lam) x pool[second]."""

    first: Tensor  # [M] int64, always a labelled image in CalibrateMix
    second: Tensor  # [M] int64
    lam: Tensor  # [M] floating


def hard_and_easy(difficulty: Tensor) -> tuple[Tensor, Tensor]:
    """Splits by sort rank: the lowest floor(n/2) margins are hard, the rest easy.

    ``difficulty`` [n] floating -> positions (hard [n//2], easy [n - n//2]) int64. Stable by (value, position),
    so ties and the number of ranks change nothing (torch.median would split 3 to 1 where it is the lower middle).
    """
    order = torch.sort(difficulty, stable=True).indices
    half = len(order) // 2
    return order[:half], order[half:]


def hard_mask(difficulty: Tensor, split: str) -> Tensor:
    """``difficulty`` [n] -> [n] bool: the hard half by ``rank``, or what lies below the true ``median``."""
    if split == "median":
        return difficulty < difficulty.quantile(0.5)
    hard = torch.zeros(len(difficulty), dtype=torch.bool, device=difficulty.device)
    return hard.index_fill(0, hard_and_easy(difficulty)[0], True)


def num_candidates(k_percent: float, num: int) -> int:
    """How many of ``num`` candidates a partner is drawn from: k% of them, at least 1; k = 0 is all."""
    return min(num, max(1, round(k_percent / 100 * num))) if k_percent > 0 else num


def least_similar(queries: Tensor, candidates: Tensor, k: int) -> Tensor:
    """The k candidates of lowest cosine similarity: [A, D], [K, D] -> positions [A, k] int64, least first."""
    return torch.sort(cosine(queries, candidates), dim=1, stable=True).indices[:, :k]


def cosine(queries: Tensor, candidates: Tensor) -> Tensor:
    """[A, D], [K, D] -> similarities [A, K] in [-1, 1]."""
    return F.normalize(queries, dim=1) @ F.normalize(candidates, dim=1).T


def pick(candidates: Tensor, uniform: Tensor) -> Tensor:
    """One column of each row: ``candidates`` [A, k], ``uniform`` [A] in [0, 1) -> [A]."""
    k = candidates.shape[1]
    column = (uniform * k).long().clamp(max=k - 1)
    return candidates.gather(1, column[:, None]).squeeze(1)


def opposite_partners(
    queries: Tensor,
    candidates: Tensor,
    queries_hard: Tensor,
    candidates_hard: Tensor,
    options: "MixingConfig",
    uniform: Tensor,
) -> Tensor:
    """A partner of the other half for each query, one of its k least similar (CalibrateMix Eqs. 6-9).

    queries [A, D], candidates [K, D], their ``hard`` [A], [K] bool, ``uniform`` [A] in [0, 1) -> positions [A] int64 in
    candidates. Halves of any size cost the same and keep the shapes; where the other half is empty (a median of equal
    values), the partner is the least similar of all.
    """
    same_half = queries_hard[:, None] == candidates_hard[None, :]
    beyond = 4.0  # more than two cosines can differ by: the wrong half comes last
    order = torch.sort(cosine(queries, candidates) + beyond * same_half, dim=1, stable=True).indices
    count = (~same_half).sum(dim=1)
    k = count if options.k_percent == 0 else (options.k_percent / 100 * count.double()).round().long()
    if options.k_count is not None:
        k = torch.full_like(count, options.k_count)
    k = torch.minimum(k, count).clamp(min=1)
    column = torch.minimum((uniform.double() * k).long(), k - 1)
    return order.gather(1, column[:, None]).squeeze(1)
