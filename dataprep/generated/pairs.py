"""Which two classes a group lies between, and what share of the first each place in it has."""

import numpy as np
from numpy.typing import NDArray


def class_pairs(num_classes: int) -> NDArray[np.int64]:
    """Pairs (a, b) with a < b in lexicographic order, [P, 2], P = K (K - 1) / 2.

    Group g lies between the classes of pair g modulo P, so that every first stretch of groups is balanced over pairs.
    """
    return np.stack(np.triu_indices(num_classes, 1), 1)


def even_ratios(places: int) -> list[float]:
    """The share of class a at each of S places, p / (S - 1): b stands at place 0, a at the last (CSM, Sec. 3.2)."""
    return (np.arange(places) / (places - 1)).tolist()
