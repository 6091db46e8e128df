"""How good the pseudo-labels are, measured with labels that training does not have. For the log alone.

Impurity (CalibrateMix, Fig. 1c): the share of used pseudo-labels that are wrong, each by its weight. Mask rate: the
mean weight, per predicted class. Nothing of this flows back into a step.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from pipeline.data.dataset import Dataset
from pipeline.data.streams import VirtualShards
from pipeline.distributed import Ranks
from pipeline.methods.step_types import PseudoLabels

COUNTS = ("all", "used", "known", "wrong")  # images, weight, weight where the label is known, weight where it is wrong


class LabelQuality:
    """Sums on the device, this rank's. ``hidden`` [rows] int64: true labels by table row, -1 = nobody knows."""

    def __init__(self, hidden: Tensor, num_classes: int) -> None:
        self.hidden = hidden
        self.since_line = torch.zeros(len(COUNTS), dtype=torch.float64, device=hidden.device)
        self.by_class = torch.zeros(len(COUNTS), num_classes, dtype=torch.float64, device=hidden.device)

    @torch.no_grad()
    def add(self, rows: Tensor, pseudo: PseudoLabels) -> None:
        """One batch: ``rows`` [B] int64 of the samples."""
        truth, used = self.hidden[rows], pseudo.weight.double()
        known = used * (truth >= 0)
        sums = torch.stack([torch.ones_like(used), used, known, known * (truth != pseudo.label)])
        self.since_line += sums.sum(dim=1)
        self.by_class.index_add_(1, pseudo.label, sums)

    def state(self) -> dict[str, Tensor]:
        """What a checkpoint keeps, by reference."""
        return {"since_line": self.since_line, "by_class": self.by_class}


def summary(since_line: Tensor) -> dict[str, float | None]:
    """``impurity`` in [0, 1] of sums [COUNTS] over all ranks; None where no used label is known."""
    _, _, known, wrong = since_line.tolist()
    return {"impurity": wrong / known if known > 0 else None}


def summary_by_class(by_class: Tensor) -> dict[str, Any]:
    """Lists of C of sums [COUNTS, C] over all ranks; None for a class that was not predicted or is not known."""
    pairs = {"mask_rate_per_class": (1, 0), "impurity_per_class": (3, 2)}
    rows = by_class.tolist()
    return {
        name: [a / b if b > 0 else None for a, b in zip(rows[part], rows[whole], strict=True)]
        for name, (part, whole) in pairs.items()
    }


def hidden_labels(dataset: Dataset, shards: VirtualShards, num_rows: int, ranks: Ranks) -> Tensor:
    """True labels [num_rows] int64 by this rank's table rows, -1 where the data set knows none."""
    hidden = torch.full((num_rows,), -1, dtype=torch.int64)
    if num_rows:
        owned = shards.owned(ranks.rank, ranks.world)
        index = np.arange(shards.bounds(owned[0])[0], shards.bounds(owned[-1])[1])
        rows = shards.row_of(index, ranks.rank, ranks.world)
        hidden[torch.from_numpy(rows)] = torch.from_numpy(dataset.hidden_labels[index])
    return hidden.to(ranks.device)
