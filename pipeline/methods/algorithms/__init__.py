"""The base algorithms by name. A new one is a file with ``pseudo_label`` and ``state``, and a line here."""

from typing import Protocol

from pipeline.methods.algorithms.fixmatch import FixMatch
from pipeline.methods.algorithms.flexmatch import FlexMatch
from pipeline.methods.algorithms.softmatch import SoftMatch
from pipeline.methods.algorithms.supervised import Supervised
from pipeline.methods.protocols import Algorithm, Problem


class Makes(Protocol):
    """An algorithm's class."""

    uses_unlabelled: bool

    def __call__(self, problem: Problem) -> Algorithm: ...


ALGORITHMS: dict[str, Makes] = {
    "fixmatch": FixMatch,
    "flexmatch": FlexMatch,
    "softmatch": SoftMatch,
    "supervised": Supervised,
}
