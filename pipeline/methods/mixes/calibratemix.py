"""CalibrateMix: easy labelled images with hard, dissimilar pseudo-labelled ones, and hard labelled with easy.

Rahman et al. 2026, "On the Calibration of Image Semi-Supervised Learning Models", Algorithm 1, Eqs. 2-9. Without
unlabelled images (algorithm supervised) the opposite half of the labelled batch takes their place.
"""

import torch

from pipeline.methods.mixes.difficulty import Difficulty
from pipeline.methods.mixes.draws import labelled_draws
from pipeline.methods.mixing import MixingPool
from pipeline.methods.pairing import hard_mask, opposite_partners
from pipeline.methods.protocols import MethodContext
from pipeline.methods.step_types import Group, Inputs, Observed, Pairs, Saved


class CalibrateMix:
    """Pairs every labelled image of the pool with ``mixing.per_labelled`` partners."""

    def __init__(self, context: MethodContext) -> None:
        self.config, self.options = context.config, context.config.mixing
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
        """M = L x per_labelled pairs in the order of the labelled batch; ``first`` is the labelled image."""
        aum, apm = self.difficulty.read(pool)
        labelled, unlabelled = pool.vectors()
        hard = hard_mask(aum, self.options.halves)
        supervised = pool.num_unlabelled == 0
        others = labelled if supervised else unlabelled
        others_hard = hard if supervised else hard_mask(apm, self.options.halves)
        k = self.options.k_percent, self.options.k_count
        partners, lams = [], []
        for repeat in range(self.options.per_labelled):
            partner, easy, tough = pool.tensor(labelled_draws(self.options, self.config.seed, pool, repeat))
            partners.append(opposite_partners(labelled, others, hard, others_hard, partner, *k))
            lams.append(torch.where(hard, tough, easy))
        first = torch.arange(pool.num_labelled, device=aum.device).repeat(len(partners))
        offset = 0 if supervised else pool.num_labelled
        return Pairs(first, torch.cat(partners) + offset, torch.cat(lams))

    def state(self) -> Saved:
        """AUM is the same on every rank, APM is sharded."""
        return self.difficulty.state()
