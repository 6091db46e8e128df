"""Mixup of the labelled batch with itself, and RegMixup, which keeps the clean loss beside it.

Zhang et al. 2018; for calibration Thulasidasan et al. 2019 (alpha .1 to 1) and, as RegMixup, Pinto et al. 2022 (10).
Each image meets the one at its place in a random permutation of the global batch. Nothing is observed or remembered.
"""

from functools import partial

import numpy as np
import torch

from pipeline.methods.label_losses import label_loss
from pipeline.methods.mixes.draws import listed_draws
from pipeline.methods.mixing import MixingPool
from pipeline.methods.objective import smoothed
from pipeline.methods.protocols import MethodContext
from pipeline.methods.step_types import Group, Inputs, Observed, Pairs, Saved


class Mixup:
    """Mixed images in the place of the labelled ones, under ``loss.name``; one lambda a batch, or one a pair."""

    def __init__(self, context: MethodContext, *, beside: bool = False) -> None:
        """``beside``: the clean loss stays, and mixed images have ``mixing.loss``, as any mix that adds some."""
        config = context.config
        self.options, self.seed, self.beside = config.mixing, config.seed, beside
        replacing = smoothed(label_loss(config.loss), config, config.smoothing.mixed, context.num_classes)
        self.loss = None if beside else replacing

    def track(self, inputs: Inputs, observed: Observed) -> None:
        """Nothing to remember."""

    def groups(self, base: list[Group], pool: MixingPool) -> list[Group]:
        """``base``, its labelled images as they are or gone, and the mixed images."""
        kept = [group for group in base if self.beside or group.term != "labelled"]
        return [*kept, pool.mixed_group(self.pair(pool), self.loss)]

    def pair(self, pool: MixingPool) -> Pairs:
        """Each of the n labelled images of the pool with the one at its place in a permutation, which may be itself."""
        count = pool.num_labelled
        order, _, lam = listed_draws(self.options, self.seed, pool, np.zeros(count, np.int64))
        places = np.stack([np.arange(count), np.argsort(order, kind="stable")])
        members = torch.from_numpy(places).to(pool.device, non_blocking=True)
        return Pairs(members[0], members[1], pool.tensor(lam))

    def state(self) -> Saved:
        """Nothing to save."""
        return Saved()


RegMixup = partial(Mixup, beside=True)
