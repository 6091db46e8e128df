"""Which options make a run what it is, and which may change when it is resumed."""

from collections.abc import Mapping
from operator import attrgetter
from typing import Any

from pipeline.config.options import Config
from pipeline.config.reading import OPTIONS, flatten

# Where a run lies, how fast it goes and how it reports: a resumed run may change these, the result stays the same.
RESUMABLE_OPTIONS = frozenset({"out", "data", "threads", "eval_batch", "log_every", "checkpoint_every", "profile"})


_values = attrgetter(*OPTIONS)


def flat_values(config: Config) -> dict[str, Any]:
    """Every option's value by its dotted name."""
    return dict(zip(OPTIONS, _values(config), strict=True))


DEFAULTS = flat_values(Config())


def changed_options(saved: Mapping[str, Any], config: Config) -> list[tuple[str, Any, Any]]:
    """(name, value there, value now) of what a run computes otherwise than config.yaml's nested ``saved``.

    An option that ``saved`` does not know is younger than its run, which had it at its default.
    """
    before = DEFAULTS | flatten(saved)
    free = RESUMABLE_OPTIONS | ({"steps"} if config.epochs else set())  # then steps follow from epochs and the data
    now = {name: value for name, value in flat_values(config).items() if name not in free}
    return [(name, before[name], value) for name, value in now.items() if before[name] != value]
