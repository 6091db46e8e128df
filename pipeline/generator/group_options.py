"""What can be chosen of groups, as the command line of generate.py says it; importable without torch."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class GroupOptions:
    """``run`` or ``weights`` is None; of ``groups`` (for each pair) and ``equal_to`` (images in all) one is."""

    run: Path | None
    weights: Path | None
    dataset: str
    data: str
    groups: int | None
    equal_to: int | None
    size: int
    steps: int
    guidance: float | None
    seed: int
    precision: str
    micro_batch: int
    threads: int
    shards: Path
    out: Path


def check(options: GroupOptions) -> None:
    """Whatever can be told from the options alone. Raises ValueError."""
    least = {"size": 2, "steps": 2, "micro_batch": 1, "groups": 1, "equal_to": 1, "seed": 0, "threads": 0}
    for name, smallest in least.items():
        value = getattr(options, name)
        if value is not None and value < smallest:
            raise ValueError(f"--{name.replace('_', '-')}={value}: must be at least {smallest}")
