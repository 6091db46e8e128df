"""``forward: joint``: labelled, weak and strong views in one pass with gradient, as the peers train.

For exact replication and parity: batch norm sees the three groups together, and the weak views' graph, which no loss
uses, is paid for. Mixed images come in a second pass, which ``recipe: release`` (the authors' code) makes joint again.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from pipeline.config.options import MixingConfig
from pipeline.methods.objective import Objective, evaluate_groups
from pipeline.methods.protocols import Algorithm
from pipeline.methods.step_types import Group, Inputs, Observed, Outputs, StepOutput
from pipeline.models.numerics import Numerics
from pipeline.training.step import forward


class JointPasses:
    """One pass a step through ``ddp``, and a second for groups that the first did not forward, such as mixed images.

    ``mixing.second_pass``: ``joint`` learns [mixed, labelled, weak, strong], ``alone`` the mixed images only;
    ``mixing.double_base`` adds the base loss of the second pass, for which the algorithm labels again.
    """

    def __init__(
        self,
        ddp: nn.Module,
        numerics: Numerics,
        world: int,
        *,
        options: MixingConfig,
        algorithm: Algorithm,
        objective: Objective,
        graphs: bool = False,
    ) -> None:
        self.ddp, self.numerics, self.world, self.options = ddp, numerics, world, options
        self.algorithm, self.objective, self.graphs = algorithm, objective, graphs

    def observe(self, inputs: Inputs) -> Observed:
        """The first pass; what ``learn`` needs of it travels in ``Observed.forwarded``."""
        if self.graphs:
            torch.compiler.cudagraph_mark_step_begin()
        views = _views(inputs)
        logits, features = forward(self.ddp, views, self.numerics)
        sizes = [len(view) for view in views]
        labelled, weak, strong = logits.split(sizes)
        of_labelled, of_weak, _ = features.detach().split(sizes)
        return Observed(
            Outputs(labelled.detach(), of_labelled),
            Outputs(weak.detach(), of_weak),
            {"labelled": labelled, "unlabelled": strong},
        )

    def learn(self, inputs: Inputs, observed: Observed, groups: Sequence[Group]) -> StepOutput:
        """The groups of the first pass, then the second pass where others are left."""
        learned = [group for group in groups if group.weight]
        first = [group for group in learned if group.term in observed.forwarded]
        others = [group for group in learned if group.term not in observed.forwarded]
        output = evaluate_groups(first, [observed.forwarded[group.term] for group in first], self.world)
        if not others:
            return output
        with frozen_statistics(self.ddp, freeze=not self.options.update_bn):
            second, again = self._second_pass(inputs, others)
        loss = output.loss + second.loss
        per_image = {**output.per_image, **second.per_image}
        if again is not None:
            loss, per_image = loss + again.loss, {**per_image, **again.per_image}
        return StepOutput(loss, {**output.terms, **second.terms}, per_image)

    def _second_pass(self, inputs: Inputs, others: Sequence[Group]) -> tuple[StepOutput, StepOutput | None]:
        """(the terms of ``others``, the base loss again or None)."""
        views = [] if self.options.second_pass == "alone" else _views(inputs)
        images = [*(group.images for group in others), *views]
        logits, _ = forward(self.ddp, images, self.numerics)
        parts = logits.split([len(each) for each in images])
        second = evaluate_groups(others, parts[: len(others)], self.world)
        if not self.options.double_base:
            return second, None
        labelled, weak, strong = parts[len(others) :]
        pseudo = self.algorithm.pseudo_label(weak.detach(), inputs.unlabelled.rows)
        base = self.objective.groups(inputs, pseudo)
        return second, evaluate_groups(base, [labelled, strong], self.world)


def _views(inputs: Inputs) -> list[Tensor]:
    """[labelled, weak, strong], in the order of a joint batch."""
    labelled, unlabelled = inputs.labelled, inputs.unlabelled
    assert unlabelled.strong is not None
    return [labelled.weak, unlabelled.weak, unlabelled.strong]


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
