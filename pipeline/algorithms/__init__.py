"""The base algorithms by name. A new one is a file with ``pseudo_label`` and ``state``, and a line here."""

from collections.abc import Callable

from pipeline.algorithms.fixmatch import FixMatch
from pipeline.algorithms.flexmatch import FlexMatch
from pipeline.algorithms.softmatch import SoftMatch
from pipeline.pseudo_labels import Algorithm, Problem

ALGORITHMS: dict[str, Callable[[Problem], Algorithm]] = {
    "fixmatch": FixMatch,
    "flexmatch": FlexMatch,
    "softmatch": SoftMatch,
}
