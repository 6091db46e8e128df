"""What the forward passes of a step share; passes.py has them: observe the views, learn any number of groups."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

import torch
from torch import Tensor, nn

from pipeline.data.batches import Batch, HostPart
from pipeline.distributed import Ranks
from pipeline.methods.step_types import Change, Group, Inputs, Observed, Outputs, Part, StepOutput
from pipeline.models.numerics import Numerics


class Passes(Protocol):
    """The forward passes of a step; the option ``forward`` chooses."""

    def observe(self, inputs: Inputs) -> Observed:
        """Logits and features of the weak views, detached."""
        ...

    def learn(self, inputs: Inputs, observed: Observed, groups: Sequence[Group]) -> StepOutput:
        """The objective over all groups, one loss a group; what is not forwarded yet is forwarded here."""
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


def views(inputs: Inputs) -> list[Tensor]:
    """[labelled, weak, strong], in the order of a batch."""
    labelled, unlabelled = inputs.labelled, inputs.unlabelled
    assert unlabelled.strong is not None
    return [labelled.weak, unlabelled.weak, unlabelled.strong]


def forward(
    model: nn.Module, images: Sequence[Tensor], numerics: Numerics, hidden: tuple[int, Change] | None = None
) -> list[Outputs]:
    """Logits and features of each of ``images`` [n_i, 3, S, S], all forwarded as one batch; ``hidden`` as a group's."""
    batch = numerics.batch(images)
    with numerics.autocast():
        logits, features = model(batch, *(hidden or ()))
    sizes = [len(each) for each in images]
    return [Outputs(*each) for each in zip(logits.split(sizes), features.split(sizes), strict=True)]


@contextmanager
def frozen_statistics(model: nn.Module, freeze: bool) -> Iterator[None]:
    """Batch norm in training mode that leaves its running statistics alone."""
    norms = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)] if freeze else []
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    yield
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
