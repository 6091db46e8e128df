"""The forward passes of a step: observe the weak views without gradient, learn any number of groups with gradient.

The weak views never carry a gradient in these methods, so they are observed by the bare model; one forward/backward
of all groups (labelled, unlabelled strong, mixed ...) through DDP learns. joint_passes.py has the peers' way instead.
"""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from pipeline.data.batches import Batch, HostPart
from pipeline.distributed import Ranks
from pipeline.methods.objective import evaluate_groups
from pipeline.methods.step_types import Group, Inputs, Observed, Outputs, Part, StepOutput
from pipeline.models.numerics import Numerics


class Passes(Protocol):
    """The forward passes of a step; ``forward: split | joint`` chooses."""

    def observe(self, inputs: Inputs) -> Observed:
        """Logits and features of the weak views, detached."""
        ...

    def learn(self, inputs: Inputs, observed: Observed, groups: Sequence[Group]) -> StepOutput:
        """The objective over all groups: one forward, one loss a group."""
        ...


def to_device(batch: Batch, split_labels: Tensor, ranks: Ranks) -> Inputs:
    """The batch on the device. ``split_labels`` int64: of the whole split, on the device; they label that part."""

    def put(name: str, part: HostPart) -> Part:
        weak, rows = (x.to(ranks.device, non_blocking=True) for x in (part.weak, torch.from_numpy(part.rows)))
        strong = None if part.strong is None else part.strong.to(ranks.device, non_blocking=True)
        each = len(weak)
        own = rows[ranks.rank * each : (ranks.rank + 1) * each]
        labels = split_labels[own] if name == "labelled" else None
        return Part(weak, strong, labels, rows, part.index, part.visit)

    return Inputs(batch.step, {name: put(name, part) for name, part in batch.parts.items()})


class SplitPasses:
    """Observe with the bare ``model``, learn through ``ddp``.

    ``unobserved``: the number of classes where nothing looks at the weak views, which are then not forwarded.
    ``graphs``: both are compiled, perhaps to CUDA graphs.
    """

    def __init__(
        self,
        model: nn.Module,
        ddp: nn.Module,
        numerics: Numerics,
        world: int,
        *,
        unobserved: int | None = None,
        graphs: bool = False,
    ) -> None:
        self.model, self.ddp, self.numerics, self.world = model, ddp, numerics, world
        self.unobserved, self.graphs = unobserved, graphs

    @torch.no_grad()
    def observe(self, inputs: Inputs) -> Observed:
        """Forward of all weak views in training mode."""
        if self.unobserved is not None:
            nothing = torch.empty(0, self.unobserved, dtype=self.numerics.dtype, device=self.numerics.device)
            return Observed(Outputs(nothing, nothing), Outputs(nothing, nothing))
        if self.graphs:
            torch.compiler.cudagraph_mark_step_begin()  # what the last step's graphs returned may be written over
        labelled, unlabelled = inputs.labelled.weak, inputs.unlabelled.weak
        logits, features = forward(self.model, [labelled, unlabelled], self.numerics)
        sizes = [len(labelled), len(unlabelled)]
        parts = zip(logits.split(sizes), features.split(sizes), strict=True)
        of_labelled, of_unlabelled = (Outputs(*each) for each in parts)
        return Observed(of_labelled, of_unlabelled)

    def learn(self, inputs: Inputs, observed: Observed, groups: Sequence[Group]) -> StepOutput:
        """One forward of all groups whose weight is not 0."""
        learned = [group for group in groups if group.weight]
        logits, _ = forward(self.ddp, [group.images for group in learned], self.numerics)
        return evaluate_groups(learned, logits.split([len(group.images) for group in learned]), self.world)


def forward(model: nn.Module, images: Sequence[Tensor], numerics: Numerics) -> tuple[Tensor, Tensor]:
    """(logits [n, C], features [n, D]) of all ``images`` [n_i, 3, S, S] in one pass."""
    batch = numerics.batch(images)
    with numerics.autocast():
        logits, features = model(batch)
    return logits, features
