"""Manifold mixup: activations of labelled images mixed after one of the first stages of the network, drawn each step.

Verma et al. 2019; for calibration Thulasidasan et al. 2019, Table 3. With h = f_k(x) and layer k drawn from
``mixing.layers``: h = lam f_k(x_i) + (1 - lam) f_k(x_j), targets likewise, in the place of the clean loss. Pairs and
lambda are mixup's own, so k = 0 is mixup.
"""

from pipeline.methods.mixes.mixup import Mixup
from pipeline.methods.mixing import MixingPool
from pipeline.methods.protocols import MethodContext
from pipeline.methods.step_types import Group, Inputs, Observed, Saved
from pipeline.randomness import LAYER, uniforms


class ManifoldMixup:
    """One layer for the whole batch, on every rank."""

    def __init__(self, context: MethodContext) -> None:
        self.mixup, self.layers, self.seed = Mixup(context), context.config.layers, context.config.seed

    def track(self, inputs: Inputs, observed: Observed) -> None:
        """Nothing to remember."""

    def groups(self, base: list[Group], pool: MixingPool) -> list[Group]:
        """``base`` without its labelled images, and these with what is to be mixed on their way."""
        kept = [group for group in base if group.term != "labelled"]
        return [*kept, pool.mixed_group(self.mixup.pair(pool), self.mixup.loss, self.layer(pool.step))]

    def layer(self, step: int) -> int:
        """After which stage it is mixed in that step; 0: the images are."""
        drawn: float = uniforms(self.seed, LAYER, [step], [0])[0]
        return self.layers[int(drawn * len(self.layers))]

    def state(self) -> Saved:
        """Nothing to save."""
        return Saved()
