"""Mixup of the labelled batch with itself, and RegMixup, which keeps the clean loss beside it.

Zhang et al. 2018; for calibration Thulasidasan et al. 2019 (alpha .1 to 1) and, as RegMixup, Pinto et al. 2022 (10).
Each image meets the one at its place in a random permutation of the global batch. Nothing is observed or remembered.
"""

import numpy as np
import torch

from pipeline.config.options import MixingConfig
from pipeline.methods.label_losses import label_loss
from pipeline.methods.mixes.draws import listed_draws
from pipeline.methods.mixing import MixingPool
from pipeline.methods.objective import smoothed
from pipeline.methods.protocols import MethodContext
from pipeline.methods.step_types import Group, Inputs, Observed, Pairs, Saved


class Mixup:
    """Mixed images in the place of the labelled ones, under ``loss.name``; one lambda a batch, or one a pair."""

    def __init__(self, context: MethodContext) -> None:
        config = context.config
        self.options, self.seed = config.mixing, config.seed
        self.loss = smoothed(label_loss(config.loss), config, config.smoothing.mixed, context.num_classes)

    def track(self, inputs: Inputs, observed: Observed) -> None:
        """Nothing to remember."""

    def groups(self, base: list[Group], pool: MixingPool) -> list[Group]:
        """``base`` with mixed images for labelled ones."""
        mixed = pool.mixed_group(self.pair(pool), self.loss)
        return [*(group for group in base if group.term != "labelled"), mixed]

    def pair(self, pool: MixingPool) -> Pairs:
        """A permutation of the batch."""
        return permuted_pairs(self.options, self.seed, pool)

    def state(self) -> Saved:
        """Nothing to save."""
        return Saved()


class RegMixup:
    """The clean loss, and ``mixing.weight`` x ``mixing.loss`` of the mixed images."""

    def __init__(self, context: MethodContext) -> None:
        self.options, self.seed = context.config.mixing, context.config.seed

    def track(self, inputs: Inputs, observed: Observed) -> None:
        """Nothing to remember."""

    def groups(self, base: list[Group], pool: MixingPool) -> list[Group]:
        """``base`` and the mixed images."""
        return [*base, pool.mixed_group(self.pair(pool))]

    def pair(self, pool: MixingPool) -> Pairs:
        """A permutation of the batch."""
        return permuted_pairs(self.options, self.seed, pool)

    def state(self) -> Saved:
        """Nothing to save."""
        return Saved()


def permuted_pairs(options: MixingConfig, seed: int, pool: MixingPool) -> Pairs:
    """Each of the n labelled images of the pool with the one at its place in a permutation, which may be itself."""
    count = pool.num_labelled
    order, _, lam = listed_draws(options, seed, pool, np.zeros(count, np.int64))
    places = np.stack([np.arange(count), np.argsort(order, kind="stable")])
    members = torch.from_numpy(places).to(pool.device, non_blocking=True)
    return Pairs(members[0], members[1], pool.tensor(lam))
