"""A run's options as flat names, as assignments, and as the hash in its folder's name."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from pipeline.config import RESUMABLE_OPTIONS, Config


def digest(config: Config) -> str:
    """Eight hexadecimal digits of what the run computes: the resolved options that are not at their defaults.

    Defaults are left out so that a new option does not rename the runs that do not use it.
    """
    defaults = flat(Config())
    said = {n: v for n, v in flat(config).items() if n not in RESUMABLE_OPTIONS and v != defaults[n]}
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:8]


def flat(config: Config) -> dict[str, Any]:
    """Every option by its dotted name."""
    values: dict[str, Any] = {}
    for name, value in config.to_dict().items():
        inner = {f"{name}.{leaf}": v for leaf, v in value.items()} if isinstance(value, dict) else {name: value}
        values |= inner
    return values


def assignments(options: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Nested options as ``--set`` takes them."""
    lines = []
    for name, value in options.items():
        if isinstance(value, Mapping):
            lines += assignments(value, f"{prefix}{name}.")
        else:
            lines.append(f"{prefix}{name}={json.dumps(value)}")
    return lines
