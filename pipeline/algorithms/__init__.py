"""The base algorithms by name. A new one is a file with a ``pseudo_label`` method and a line here."""

from pipeline.algorithms.fixmatch import FixMatch

ALGORITHMS = {"fixmatch": FixMatch}
