"""The base algorithm alone."""

from typing import TYPE_CHECKING

from pipeline.pairing import Pairs
from pipeline.pseudo_labels import Problem, PseudoLabels, State

if TYPE_CHECKING:
    from pipeline.mixing import Pool
    from pipeline.step import Inputs, Observed


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
