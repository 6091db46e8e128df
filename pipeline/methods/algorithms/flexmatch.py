"""FlexMatch: the threshold of a class grows with how well the class is learnt (curriculum pseudo-labels).

Zhang et al. 2021, "FlexMatch: Boosting Semi-Supervised Learning with Curriculum Pseudo Labeling", Eqs. 5-11, with the
convex map of its code. sigma_c counts the samples whose latest confident label is c;
beta_c = sigma_c / max(sigma, unused), or without ``threshold_warmup`` sigma_c / max sigma;
weight = [max p >= tau beta_c / (2 - beta_c)] with the beta of the steps before.
"""

import torch
from torch import Tensor

from pipeline.distributed import all_reduce_sum
from pipeline.methods.protocols import MethodContext
from pipeline.methods.step_types import PseudoLabels, Saved


class FlexMatch:
    """Remembers each unlabelled sample's latest confident label (sharded) and how many there are of each class.

    The counts are kept by differences, so a step costs the batch and not the data set, and all ranks share them: in
    the peers every rank counts its own and the thresholds drift apart.
    """

    def __init__(self, context: MethodContext) -> None:
        self.threshold = context.config.unlabelled.threshold
        self.warmup = context.config.unlabelled.threshold_warmup
        self.selected = torch.full((context.num_rows,), -1, dtype=torch.int64, device=context.device)
        self.counts = torch.zeros(context.num_classes + 1, dtype=torch.int64, device=context.device)
        self.counts[-1] = context.num_unlabelled  # the unused

    def pseudo_label(self, logits: Tensor, rows: Tensor) -> PseudoLabels:
        """``logits`` [B, C] of the weak views, ``rows`` [B] int64 of the samples -> labels and weights [B]."""
        confidence, label = logits.softmax(dim=1).max(dim=1)
        beta = self.learnt().to(logits.dtype)[label]
        weight = (confidence >= self.threshold * beta / (2 - beta)).to(logits.dtype)
        self._select(rows, label, confidence >= self.threshold)
        return PseudoLabels(label, weight)

    def learnt(self) -> Tensor:
        """beta [C] float64: 0 for a class never predicted with confidence, 1 for the best learnt one."""
        rivals = self.counts if self.warmup else self.counts[:-1]
        return self.counts[:-1] / rivals.max().clamp(min=1).double()

    def _select(self, rows: Tensor, label: Tensor, confident: Tensor) -> None:
        """Labels of confident samples; of a sample that occurs more than once, the last confident one counts."""
        position = torch.arange(len(rows), device=rows.device)
        same = rows[:, None] == rows[None, :]
        latest = torch.where(same & confident, position, -1).amax(dim=1)
        before = self.selected[rows]
        after = torch.where(latest >= 0, label[latest.clamp(min=0)], before)
        first = (~same.tril(-1).any(dim=1)).long()  # each sample moves the counts once
        unused = len(self.counts) - 1
        change = torch.zeros_like(self.counts)
        change.index_add_(0, torch.where(after < 0, unused, after), first)
        change.index_add_(0, torch.where(before < 0, unused, before), -first)
        self.selected[rows] = after
        self.counts += all_reduce_sum(change)

    def state(self) -> Saved:
        """Counts are the same on every rank, the labels sharded by rows."""
        return Saved(replicated={"counts": self.counts}, sharded={"selected": self.selected})
