"""RandomMixup, the paper's baseline (Table 2): pairs of any two images of the batch, labelled or pseudo-labelled.

Zhang et al. 2018, "mixup: Beyond Empirical Risk Minimization", with lambda ~ Beta(alpha, alpha).
"""

import numpy as np
import torch

from pipeline.methods.mixes.draws import listed_draws
from pipeline.methods.mixing import MixingPool
from pipeline.methods.protocols import MethodContext
from pipeline.methods.step_types import Group, Inputs, Observed, Pairs, Saved


class RandomMixup:
    """As many mixed images as CalibrateMix makes: ``mixing.per_labelled`` for each labelled image. Keeps no state."""

    def __init__(self, context: MethodContext) -> None:
        self.config, self.options = context.config, context.config.mixing

    def track(self, inputs: Inputs, observed: Observed) -> None:
        """Nothing to remember."""

    def groups(self, base: list[Group], pool: MixingPool) -> list[Group]:
        """The base groups and the mixed images."""
        return [*base, pool.mixed_group(self.pair(pool))]

    def pair(self, pool: MixingPool) -> Pairs:
        """Two different members of ``mixing.members`` for each pair, uniformly."""
        total = pool.num_labelled + pool.num_unlabelled
        start, stop = {
            "both": (0, total),
            "labelled": (0, pool.num_labelled),
            "unlabelled": (pool.num_labelled, total),
        }[self.options.members]
        kinds = np.zeros(pool.num_labelled * self.options.per_labelled, np.int64)
        one, other, lam = listed_draws(self.options, self.config.seed, pool, kinds)
        size = stop - start
        first = (one * size).astype(np.int64)
        second = (first + 1 + (other * (size - 1)).astype(np.int64)) % size  # never the first
        members = torch.from_numpy(np.stack([first, second]) + start).to(pool.device, non_blocking=True)
        return Pairs(members[0], members[1], pool.tensor(lam))

    def state(self) -> Saved:
        """Nothing to save."""
        return Saved()
