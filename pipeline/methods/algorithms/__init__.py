"""The base algorithms by name. A new one is a file with ``pseudo_label`` and ``state``, a line here, and its name in
config/options.py."""

from collections.abc import Callable

from pipeline.methods.algorithms.fixmatch import FixMatch
from pipeline.methods.algorithms.flexmatch import FlexMatch
from pipeline.methods.algorithms.softmatch import SoftMatch
from pipeline.methods.algorithms.supervised import Supervised
from pipeline.methods.protocols import Algorithm, MethodContext

AlgorithmFactory = Callable[[MethodContext], Algorithm]

ALGORITHMS: dict[str, AlgorithmFactory] = {
    "fixmatch": FixMatch,
    "flexmatch": FlexMatch,
    "softmatch": SoftMatch,
    "supervised": Supervised,
}
