"""Options of a training run: declared in options.py, preset in presets.py, read and checked in reading.py.

identity.py says which of them make a run what it is.
"""

from pipeline.config.identity import DEFAULTS, RESUMABLE_OPTIONS, changed_options, flat_values
from pipeline.config.options import Config, most_virtual_shards
from pipeline.config.reading import (
    OPTIONS,
    YAML_LOADER,
    build,
    describe,
    flatten,
    load,
    parse_sets,
    read_options,
    read_yaml,
    resolve,
)

__all__ = [
    "DEFAULTS",
    "OPTIONS",
    "RESUMABLE_OPTIONS",
    "YAML_LOADER",
    "Config",
    "build",
    "changed_options",
    "describe",
    "flat_values",
    "flatten",
    "load",
    "most_virtual_shards",
    "parse_sets",
    "read_options",
    "read_yaml",
    "resolve",
]
