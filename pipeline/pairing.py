"""Who is mixed with whom: easy labelled with hard unlabelled and the reverse (CalibrateMix, Algorithm 1).

All functions see the GLOBAL batch, have fixed shapes and no host synchronisation. Positions count through
the pool [labelled batch, unlabelled batch].
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


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


def num_candidates(k_percent: float, num: int) -> int:
    """How many of ``num`` candidates a partner is drawn from: k% of them, at least 1; k = 0 is all."""
    return min(num, max(1, round(k_percent / 100 * num))) if k_percent > 0 else num


def least_similar(queries: Tensor, candidates: Tensor, k: int) -> Tensor:
    """The k candidates of lowest cosine similarity: [A, D], [K, D] -> positions [A, k] int64, least first."""
    similarity = F.normalize(queries, dim=1) @ F.normalize(candidates, dim=1).T
    return torch.sort(similarity, dim=1, stable=True).indices[:, :k]


def pick(candidates: Tensor, uniform: Tensor) -> Tensor:
    """One column of each row: ``candidates`` [A, k], ``uniform`` [A] in [0, 1) -> [A]."""
    k = candidates.shape[1]
    column = (uniform * k).long().clamp(max=k - 1)
    return candidates.gather(1, column[:, None]).squeeze(1)


def calibratemix_pairs(
    aum: Tensor,
    apm: Tensor,
    labelled_features: Tensor,
    unlabelled_features: Tensor,
    k_percent: float,
    partner_uniform: Tensor,
    lam_easy: Tensor,
    lam_hard: Tensor,
) -> Pairs:
    """One pair per labelled image, in the order of the labelled batch (CalibrateMix Eqs. 6-9).

    aum [L], apm [U], features [L, D] and [U, D], all global and detached. ``partner_uniform``, ``lam_easy``,
    ``lam_hard`` [L]: the labelled image's draws; the last two hold where it is easy or hard.
    """
    hard_l, easy_l = hard_and_easy(aum)
    hard_u, easy_u = hard_and_easy(apm)
    num = len(aum)
    partner = torch.empty(num, dtype=torch.int64, device=aum.device)
    for mine, theirs in ((easy_l, hard_u), (hard_l, easy_u)):
        k = num_candidates(k_percent, len(theirs))
        nearest = least_similar(labelled_features[mine], unlabelled_features[theirs], k)
        partner[mine] = theirs[pick(nearest, partner_uniform[mine])]
    is_easy = torch.zeros(num, dtype=torch.bool, device=aum.device).index_fill(0, easy_l, True)
    first = torch.arange(num, device=aum.device)
    return Pairs(first, num + partner, torch.where(is_easy, lam_easy, lam_hard))
