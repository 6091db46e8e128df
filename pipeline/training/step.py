"""What a step works on, and the step itself: observe without gradient, learn with gradient.

The weak views never carry a gradient in these methods, so they are observed by the bare model; one forward/backward
of [labelled, unlabelled strong, mixed] through DDP learns. joint.py has the peers' way instead.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from pipeline.data.batches import Batch, Views
from pipeline.distributed import Ranks
from pipeline.methods.losses import SOFT_LOSSES, cross_entropy, rank_share, smooth, smoothing_share
from pipeline.methods.protocols import PseudoLabels
from pipeline.models.numerics import Numerics

if TYPE_CHECKING:
    from pipeline.config.options import Config


@dataclass(frozen=True, slots=True)
class Inputs:
    """A batch on the device. ``b`` rows are this rank's, L is the global labelled batch."""

    step: int
    views: Views  # uint8: labelled [b_l, 3, S, S], weak and strong [b_u, 3, S, S]
    labels: Tensor  # [b_l] int64
    global_slots: Tensor  # [L] int64: places of the global labelled batch in the split
    rows: Tensor  # [b_u] int64: rows in this rank's part of the APM table
    host: Batch


@dataclass(frozen=True, slots=True)
class Observed:
    """What the weak views gave, without gradient, in float32 or better; this rank's rows."""

    labelled_logits: Tensor  # [b_l, C]
    labelled_features: Tensor  # [b_l, D]
    unlabelled_logits: Tensor  # [b_u, C]
    unlabelled_features: Tensor  # [b_u, D]


@dataclass(frozen=True, slots=True)
class Mixed:
    """This rank's stretch of the mixed images."""

    images: Tensor  # [m, 3, S, S] normalised
    targets: Tensor  # [m, C]
    weight: Tensor  # [m]: 0 where a pair does not count
    count: int  # M, of all ranks that share the list
    world: int  # how many share it


class BaseTerms(NamedTuple):
    """Loss of the base algorithm, this rank's share of global means (scalars)."""

    labelled: Tensor
    unlabelled: Tensor


TERMS = ("loss", "loss_labelled", "loss_unlabelled", "loss_mix", "mask_rate")


class Passes(Protocol):
    """The forward passes of a step; ``forward: split | joint`` chooses."""

    def observe(self, inputs: Inputs) -> Observed:
        """Logits and features of the weak views, detached."""
        ...

    def learn(self, inputs: Inputs, seen: Observed, pseudo: PseudoLabels, mixed: Mixed | None) -> Tensor:
        """TERMS [5]; element 0, with gradient, is the objective (Eq. 10)."""
        ...


def to_device(batch: Batch, split: np.ndarray, labels: Tensor, rows: np.ndarray, ranks: Ranks) -> Inputs:
    """``labels``: of the whole split, on the device; ``rows``: of the unlabelled images."""
    slots = torch.from_numpy(np.searchsorted(split, batch.labelled_index))
    each = len(slots) // ranks.world
    slots, table_rows = (x.to(ranks.device, non_blocking=True) for x in (slots, torch.from_numpy(rows)))
    views = Views(*(x.to(ranks.device, non_blocking=True) for x in batch.views))
    mine = slots[ranks.rank * each : (ranks.rank + 1) * each]
    return Inputs(batch.step, views, labels[mine], slots, table_rows, batch)


class Split:
    """Observe with the bare ``model``, learn through ``ddp``. ``needed``: something looks at the weak views."""

    def __init__(self, model: nn.Module, ddp: nn.Module, needed: bool, objective: "Objective") -> None:
        self.model, self.ddp, self.needed, self.objective = model, ddp, needed, objective

    @torch.no_grad()
    def observe(self, inputs: Inputs) -> Observed:
        """Forward of all weak views in training mode."""
        num, numerics = len(inputs.views.labelled), self.objective.numerics
        if not self.needed:
            nothing = torch.empty(0, self.objective.num_classes, dtype=numerics.dtype, device=numerics.device)
            return Observed(nothing, nothing, nothing, nothing)
        torch.compiler.cudagraph_mark_step_begin()  # what the last step's graphs returned may be written over
        images = numerics.normalise(torch.cat([inputs.views.labelled, inputs.views.weak]))
        with numerics.autocast():
            logits, features = self.model(images)
        return Observed(logits[:num], features[:num], logits[num:], features[num:])

    def learn(self, inputs: Inputs, seen: Observed, pseudo: PseudoLabels, mixed: Mixed | None) -> Tensor:
        """One forward of [labelled, strong, mixed]."""
        objective = self.objective
        views = [objective.numerics.normalise(torch.cat([inputs.views.labelled, inputs.views.strong]))]
        images = torch.cat([*views, mixed.images]) if mixed else views[0]
        with objective.numerics.autocast():
            logits, _ = self.ddp(images.contiguous(memory_format=torch.channels_last))
        num, end = len(inputs.labels), len(views[0])
        base = objective.base(logits[:num], logits[num:end], inputs, pseudo)
        mix = objective.mix(logits[end:], mixed)
        total = base.labelled + objective.unlabelled_weight * base.unlabelled + objective.mix_weight * mix
        return objective.terms(total, base, mix, pseudo)


class Objective:
    """Eq. 10, term by term, with label smoothing; every term this rank's share of a global mean."""

    def __init__(self, config: "Config", num_classes: int, numerics: Numerics) -> None:
        self.numerics, self.num_classes = numerics, num_classes
        self.losses = torch.empty(0), torch.empty(0)  # per image, [b_l] and [b_u], of the newest base
        self.counts = config.batch.labelled, config.unlabelled_batch
        self.unlabelled_weight, self.mix_weight = config.unlabelled.weight, config.mixing.weight
        self.soft_loss = SOFT_LOSSES[config.mixing.loss]
        on = config.smoothing
        eps = smoothing_share(config.label_smoothing, on.form, num_classes)
        self.eps, self.eps_unlabelled, self.eps_mixed = (
            eps if used else 0.0 for used in (on.labelled, on.unlabelled, on.mixed)
        )

    def base(self, labelled: Tensor, strong: Tensor, inputs: Inputs, pseudo: PseudoLabels) -> BaseTerms:
        """Logits [b_l, C] and [b_u, C] -> the base algorithm's two terms."""
        world = self.counts[0] // len(inputs.labels)
        supervised = cross_entropy(labelled, inputs.labels, self.eps)
        consistency = cross_entropy(strong, pseudo.label, self.eps_unlabelled) * pseudo.weight
        self.losses = supervised.detach(), consistency.detach()
        return BaseTerms(rank_share(supervised, self.counts[0], world), rank_share(consistency, self.counts[1], world))

    def mix(self, logits: Tensor, mixed: Mixed | None) -> Tensor:
        """Logits [m, C] of the mixed images -> their term, 0 without."""
        if mixed is None:
            return logits.new_zeros(())
        per_image = self.soft_loss(logits, smooth(mixed.targets, self.eps_mixed)) * mixed.weight
        return rank_share(per_image, mixed.count, mixed.world)

    def terms(self, total: Tensor, base: BaseTerms, mix: Tensor, pseudo: PseudoLabels) -> Tensor:
        """TERMS [5]."""
        used = pseudo.weight.sum() / max(len(pseudo.weight), 1)
        return torch.stack([total, base.labelled, base.unlabelled, mix, used.to(total.dtype)])
