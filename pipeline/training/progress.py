"""How far a run is, and what it sums up for the log in between."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from pipeline.methods.objective import TERMS


def logged_names(terms: Sequence[str]) -> tuple[str, ...]:
    """What is averaged over steps and ranks for the log."""
    return "loss", *(f"loss_{term}" for term in terms), "mask_rate"


LOGGED = logged_names(TERMS)  # by runs without generated images, whose checkpoints have no more


@dataclass(slots=True)
class Progress:
    """Steps done, and what the log needs across a restart.

    ``sums`` [logged names and the number of steps]: since the last training line, on the device, the same on all ranks.
    """

    sums: Tensor
    step: int = 0
    seconds: float = 0.0
    best: dict[str, float] = field(default_factory=dict)

    def add(self, step: int, logged: Tensor) -> None:
        """``step`` steps are done; ``logged`` [logged names] of the newest, without a host synchronisation."""
        self.step = step
        self.sums[:-1] += logged
        self.sums[-1] += 1

    def state(self) -> dict[str, Any]:
        """For a checkpoint, by names that are always there: it restores no name that the loading side lacks."""
        return {"step": self.step, "seconds": self.seconds, "best": json.dumps(self.best)}

    def load(self, saved: dict[str, Any]) -> None:
        """What ``state`` gave."""
        self.step, self.seconds, self.best = saved["step"], saved["seconds"], json.loads(saved["best"])
