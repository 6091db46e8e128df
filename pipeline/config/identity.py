"""Which options make a run what it is, and which may change when it is resumed."""

from collections.abc import Callable, Mapping
from functools import cache
from operator import attrgetter
from typing import Any

from pipeline.config.options import RESUMABLE_OPTIONS, Config
from pipeline.config.reading import flatten
from pipeline.config.schema import RunOptions, options

__all__ = ["DEFAULTS", "RESUMABLE_OPTIONS", "changed_options", "flat_values"]


def flat_values(config: RunOptions) -> dict[str, Any]:
    """Every option's value by its dotted name."""
    names, values = _options(type(config))
    return dict(zip(names, values(config), strict=True))


@cache
def _options(kind: type) -> tuple[list[str], Callable[[Any], tuple[Any, ...]]]:
    names = [name for name, _ in options(kind)]
    return names, attrgetter(*names)


DEFAULTS = flat_values(Config())


def changed_options(saved: Mapping[str, Any], config: RunOptions) -> list[tuple[str, Any, Any]]:
    """(name, value there, value now) of what a run computes otherwise than config.yaml's nested ``saved``.

    An option that ``saved`` does not know is younger than its run, which had it at its default.
    """
    before = flat_values(type(config)()) | flatten(saved)
    now = {name: value for name, value in flat_values(config).items() if name not in config.resumable}
    return [(name, before[name], value) for name, value in now.items() if before[name] != value]
