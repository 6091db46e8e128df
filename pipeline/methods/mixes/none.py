"""The base algorithm alone."""

from pipeline.methods.mixing import MixingPool
from pipeline.methods.protocols import MethodContext
from pipeline.methods.step_types import Group, Inputs, Observed, Saved


class NoMix:
    """Remembers nothing, mixes nothing."""

    def __init__(self, context: MethodContext) -> None:
        """Needs nothing."""

    def track(self, inputs: Inputs, observed: Observed) -> None:
        """Nothing to remember."""

    def groups(self, base: list[Group], pool: MixingPool) -> list[Group]:
        """The base groups alone."""
        return base

    def state(self) -> Saved:
        """Nothing to save."""
        return Saved()
