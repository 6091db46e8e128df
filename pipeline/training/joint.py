"""``forward: joint``: labelled, weak and strong views in one pass with gradient, as the peers train.

For exact replication and parity: batch norm sees the three groups together, and the weak views' graph, which no loss
uses, is paid for. Mixed images come in a second pass, which ``recipe: release`` (the authors' code) makes joint again.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from pipeline.methods.protocols import Algorithm, PseudoLabels
from pipeline.training.step import Inputs, Mixed, Objective, Observed

if TYPE_CHECKING:
    from pipeline.config.options import MixingConfig


class Joint:
    """One pass a step through ``ddp``, and a second for mixed images.

    ``mixing.second_pass``: ``joint`` learns [labelled, mixed, weak, strong], ``alone`` the mixed images only;
    ``mixing.double_base`` adds the base loss of the second pass, for which the algorithm labels again.
    """

    def __init__(self, ddp: nn.Module, algorithm: Algorithm, options: "MixingConfig", objective: Objective) -> None:
        self.ddp, self.algorithm, self.options, self.objective = ddp, algorithm, options, objective
        self.logits = torch.empty(0)  # of the step's first pass, with gradient

    def observe(self, inputs: Inputs) -> Observed:
        """The first pass; the strong views' logits wait for ``learn``."""
        torch.compiler.cudagraph_mark_step_begin()
        self.logits, features = self._forward(self._views(inputs))
        weak = self._parts(inputs)[1]
        num, logits, features = len(inputs.labels), self.logits.detach(), features.detach()
        return Observed(logits[:num], features[:num], logits[weak], features[weak])

    def learn(self, inputs: Inputs, seen: Observed, pseudo: PseudoLabels, mixed: Mixed | None) -> Tensor:
        """TERMS [5] (the base terms are the first pass's)."""
        objective, (labelled, _, strong) = self.objective, self._parts(inputs)
        base = objective.base(self.logits[labelled], self.logits[strong], inputs, pseudo)
        total = base.labelled + objective.unlabelled_weight * base.unlabelled
        mix = total.new_zeros(())
        if mixed is not None:
            with frozen_statistics(self.ddp, freeze=not self.options.update_bn):
                mix, again = self._second_pass(inputs, mixed)
            total = total + objective.mix_weight * mix + again
        self.logits = torch.empty(0)
        return objective.terms(total, base, mix, pseudo)

    def _second_pass(self, inputs: Inputs, mixed: Mixed) -> tuple[Tensor, Tensor]:
        """(mix term, base loss again or 0)."""
        objective, size = self.objective, len(mixed.images)
        if self.options.second_pass == "alone":
            mix = objective.mix(self._forward(mixed.images)[0], mixed)
            return mix, mix.new_zeros(())
        logits, _ = self._forward(torch.cat([mixed.images, self._views(inputs)]))
        mix, logits = objective.mix(logits[:size], mixed), logits[size:]
        if not self.options.double_base:
            return mix, mix.new_zeros(())
        labelled, weak, strong = self._parts(inputs)
        pseudo = self.algorithm.pseudo_label(logits[weak].detach(), inputs.rows)
        base = objective.base(logits[labelled], logits[strong], inputs, pseudo)
        return mix, base.labelled + objective.unlabelled_weight * base.unlabelled

    def _views(self, inputs: Inputs) -> Tensor:
        return self.objective.numerics.normalise(torch.cat(list(inputs.views)))

    def _forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        with self.objective.numerics.autocast():
            return self.ddp(images.contiguous(memory_format=torch.channels_last))

    def _parts(self, inputs: Inputs) -> tuple[slice, slice, slice]:
        """Rows of labelled, weak and strong views in a joint batch."""
        num, end = len(inputs.labels), len(inputs.labels) + len(inputs.rows)
        return slice(0, num), slice(num, end), slice(end, end + len(inputs.rows))


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
