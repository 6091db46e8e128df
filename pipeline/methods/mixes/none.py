"""The base algorithm alone."""

from typing import TYPE_CHECKING

from pipeline.methods.pairing import Pairs
from pipeline.methods.protocols import Problem, PseudoLabels, State

if TYPE_CHECKING:
    from pipeline.methods.mixing import Pool
    from pipeline.training.step import Inputs, Observed


class NoMix:
    """Remembers nothing, mixes nothing."""

    observes = False

    def __init__(self, problem: Problem) -> None:
        """Needs nothing."""

    def track(self, inputs: "Inputs", seen: "Observed") -> None:
        """Nothing to remember."""

    def pair(self, inputs: "Inputs", seen: "Observed", pseudo: PseudoLabels, pool: "Pool") -> Pairs | None:
        """Nothing to mix."""
        return None

    def state(self) -> State:
        """Nothing to save."""
        return {"replicated": {}, "sharded": {}}
