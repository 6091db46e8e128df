"""Learning difficulty: margins of logits, AUM of labelled and APM of unlabelled samples.

Margin of class c: z_c - max_{j != c} z_j on raw logits (Pleiss et al. 2020; CalibrateMix Eq. 3).
AUM: the plain mean of the given label's margins over all visits (Pleiss et al. 2020).
APM: per class A <- A (1 - a) + margin * a with a = .997 / (1 + visits before) (CalibrateMix Eq. 5), read at
the current pseudo-label. Every occurrence of a sample in a batch is one visit, in global batch order.
"""

import torch
from torch import Tensor

APM_DECAY = 0.997


def all_margins(logits: Tensor) -> Tensor:
    """Margin of every class: ``logits`` [B, C >= 2] floating -> [B, C]; all but one are <= 0."""
    best = logits.topk(2, dim=1)
    margins = logits - best.values[:, :1]
    return margins.scatter(1, best.indices[:, :1], best.values[:, :1] - best.values[:, 1:])


def label_margins(logits: Tensor, labels: Tensor) -> Tensor:
    """Margin of the given label: ``logits`` [B, C], ``labels`` [B] int64 -> [B]."""
    return all_margins(logits).gather(1, labels[:, None]).squeeze(1)


class AumTable:
    """Sum and count of margins for each of L labelled samples; the same on every rank.

    The whole global batch is given to every rank. Repeats are summed inside the batch first and written once,
    so that no atomic addition can make ranks differ in the last bit.
    """

    def __init__(self, num_labelled: int, repeats: int, device: torch.device) -> None:
        """``repeats`` is not needed: the other form asks for it."""
        self.sums = torch.zeros(num_labelled, dtype=torch.float64, device=device)
        self.counts = torch.zeros(num_labelled, dtype=torch.int64, device=device)

    def update(self, slots: Tensor, margins: Tensor) -> None:
        """One visit for each of ``slots`` [B] int64 (position in the split), ``margins`` [B] floating."""
        same = slots[:, None] == slots[None, :]
        self.sums[slots] = self.sums[slots] + (same * margins.double()).sum(dim=1)
        self.counts[slots] = self.counts[slots] + same.sum(dim=1)

    def values(self, slots: Tensor) -> Tensor:
        """AUM [B] float64 of ``slots`` [B]; 0 where never visited."""
        return self.sums[slots] / self.counts[slots].clamp(min=1)

    def state(self) -> dict[str, Tensor]:
        """The tensors of a checkpoint, without a copy."""
        return {"sums": self.sums, "counts": self.counts}


class ApmTable:
    """Moving average of all C margins for each unlabelled sample of this rank's contiguous slice.

    ``repeats``: how often one sample can occur in one batch at most (the stream knows; usually 2).
    """

    def __init__(self, num_rows: int, num_classes: int, repeats: int, dtype: torch.dtype, device: torch.device) -> None:
        assert dtype in (torch.float32, torch.float64), "half precision stops moving after some hundred visits"
        self.table = torch.zeros(num_rows, num_classes, dtype=dtype, device=device)
        self.visits = torch.zeros(num_rows, dtype=torch.int32, device=device)
        self.repeats = repeats

    def update(self, rows: Tensor, margins: Tensor) -> None:
        """Visits ``rows`` [B] int64 one after the other with ``margins`` [B, C].

        Round r moves the samples that occur for the r-th time on from their occurrence before, all at once;
        in the end each occurrence writes its sample's last value, so the writes agree and need no order.
        """
        position = torch.arange(len(rows), device=rows.device)
        same = rows[:, None] == rows[None, :]
        earlier = same.tril(-1)
        occurrence = earlier.sum(dim=1)
        before = torch.where(earlier, position, -1).amax(dim=1).clamp(min=0)
        last = torch.where(same, position, -1).amax(dim=1)
        visits = self.visits[rows]
        step = (APM_DECAY / (1.0 + visits + occurrence).double()).to(self.table.dtype)[:, None]
        value = self.table[rows]
        for round_ in range(self.repeats):
            start = value if round_ == 0 else value[before]
            moved = start * (1 - step) + margins.to(value.dtype) * step
            value = torch.where((occurrence == round_)[:, None], moved, value)
        self.table[rows] = value[last]
        self.visits[rows] = visits + same.sum(dim=1, dtype=torch.int32)

    def values(self, rows: Tensor, labels: Tensor) -> Tensor:
        """APM [B]: the entries of ``rows`` [B] at the current pseudo-labels [B]."""
        return self.table[rows, labels]

    def state(self) -> dict[str, Tensor]:
        """The rank's part of the tensors of a checkpoint, without a copy."""
        return {"table": self.table, "visits": self.visits}


class EmaAumTable:
    """AUM in the form of Eq. 5, for comparison: a moving average of the label's margin instead of the plain mean."""

    def __init__(self, num_labelled: int, repeats: int, device: torch.device) -> None:
        self.table = ApmTable(num_labelled, 1, repeats, torch.float64, device)

    def update(self, slots: Tensor, margins: Tensor) -> None:
        """As AumTable's."""
        self.table.update(slots, margins[:, None])

    def values(self, slots: Tensor) -> Tensor:
        """As AumTable's."""
        return self.table.table[slots, 0]

    def state(self) -> dict[str, Tensor]:
        """The tensors of a checkpoint, without a copy."""
        return self.table.state()
