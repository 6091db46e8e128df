"""Mixup of all easy and hard sets, the ablation of the paper's Table 4: LE+LH, LE+UH, LH+UE and UE+UH.

Each image of a pair's first set gets one partner of its second set. L labelled, U unlabelled, E easy, H hard.
"""

import numpy as np
import torch
from torch import Tensor

from pipeline.methods.mixes.difficulty import Difficulty
from pipeline.methods.mixes.draws import listed_draws
from pipeline.methods.mixing import MixingPool
from pipeline.methods.pairing import hard_and_easy, least_similar_first, num_candidates, pick
from pipeline.methods.protocols import MethodContext
from pipeline.methods.step_types import Group, Inputs, Observed, Pairs, Saved


class MixupAll:
    """``mixing.all_pairs`` lists the kinds of pairs; ``mixing.all_k_percent`` > 0 prefers dissimilar partners."""

    def __init__(self, context: MethodContext) -> None:
        self.config, self.options = context.config, context.config.mixing
        self.kinds = [kind.split("+") for kind in self.options.all_pairs.split()]
        self.difficulty = Difficulty(context)

    @torch.no_grad()
    def track(self, inputs: Inputs, observed: Observed) -> None:
        """One visit of AUM and APM for each image of the batch."""
        self.difficulty.track(inputs, observed)

    def groups(self, base: list[Group], pool: MixingPool) -> list[Group]:
        """The base groups and the mixed images."""
        return [*base, pool.mixed_group(self.pair(pool))]

    @torch.no_grad()
    def pair(self, pool: MixingPool) -> Pairs:
        """One pair for each member of each kind's first set, kind after kind."""
        members = self._sets(*self.difficulty.read(pool))
        sizes = [len(members[first]) for first, _ in self.kinds]
        uniform, _, lam = pool.tensor(
            listed_draws(self.options, self.config.seed, pool, np.repeat(np.arange(len(sizes)), sizes))
        )
        vectors = torch.cat(pool.vectors()) if self.options.all_k_percent else None
        partners = [
            self._partners(members[a], members[b], draw, vectors)
            for (a, b), draw in zip(self.kinds, uniform.split(sizes), strict=True)
        ]
        return Pairs(torch.cat([members[a] for a, _ in self.kinds]), torch.cat(partners), lam)

    def _sets(self, aum: Tensor, apm: Tensor) -> dict[str, Tensor]:
        """Positions in the pool of each of the four sets."""
        hard_l, easy_l = hard_and_easy(aum)
        hard_u, easy_u = hard_and_easy(apm)
        return {"LE": easy_l, "LH": hard_l, "UE": easy_u + len(aum), "UH": hard_u + len(aum)}

    def _partners(self, ours: Tensor, theirs: Tensor, uniform: Tensor, vectors: Tensor | None) -> Tensor:
        if vectors is None:
            return theirs[(uniform * len(theirs)).long().clamp(max=len(theirs) - 1)]
        k = num_candidates(torch.full_like(ours, len(theirs)), self.options.all_k_percent)
        return theirs[pick(least_similar_first(vectors[ours], vectors[theirs]), k, uniform)]

    def state(self) -> Saved:
        """AUM is the same on every rank, APM is sharded."""
        return self.difficulty.state()
