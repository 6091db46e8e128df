"""The forward passes of a step. Pseudo-labels come from the batch-norm statistics that the losses are computed under.

Weak views alone have other statistics than the batch of a loss, and a network that never trains under them drifts away
from them: its pseudo-labels go wrong while its losses fall (docs/pseudo_labels.md has the measurements). So labelled,
weak and strong views are always forwarded together; mixed images come in a pass of their own, and so do generated ones,
unless ``augmented.forward`` has them among the views.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from pipeline.config.sections import MixingConfig
from pipeline.methods.objective import evaluate_groups
from pipeline.methods.step_types import Group, Inputs, Observed, Outputs, StepOutput
from pipeline.models.numerics import Numerics
from pipeline.training.step import forward, frozen_statistics, views


class JointPasses:
    """``forward: joint``: all views in one pass with gradient, as the peers train; then what that did not forward.

    ``mixing.second_pass``: mixed images ``alone``, or ``joint`` with all views again (recipe=release);
    ``mixing.double_base`` adds the base loss of that second pass, for which the algorithm labels again.
    """

    def __init__(
        self,
        ddp: nn.Module,
        numerics: Numerics,
        world: int,
        *,
        options: MixingConfig,
        joined: Sequence[str] = (),
        label: Callable[[Inputs, Tensor], list[Group]] | None = None,
        graphs: bool = False,
    ) -> None:
        """``joined``: more parts of the batch whose weak views the first pass forwards.

        ``label``: the base groups under these logits [b_u, C] of the weak views, needed for double_base.

        ``graphs``: ``ddp`` is compiled, perhaps to CUDA graphs.
        """
        self.ddp, self.numerics, self.world, self.options = ddp, numerics, world, options
        self.joined, self.label, self.graphs = joined, label, graphs

    def observe(self, inputs: Inputs) -> Observed:
        """The first pass; what ``learn`` needs of it travels in ``Observed.forwarded``."""
        if self.graphs:
            torch.compiler.cudagraph_mark_step_begin()  # what the last step's graphs returned may be written over
        images = [*views(inputs), *(inputs.parts[name].weak for name in self.joined)]
        outputs = forward(self.ddp, images, self.numerics)
        labelled, weak = (Outputs(each.logits.detach(), each.features.detach()) for each in outputs[:2])
        return Observed(labelled, weak, [(view, each.logits) for view, each in zip(images, outputs, strict=True)])

    def learn(self, inputs: Inputs, observed: Observed, groups: Sequence[Group]) -> StepOutput:
        """The groups whose images the first pass forwarded, then the others in a second pass, then those alone."""
        learned, alone = divided(groups)
        known = [(group, observed.logits_of(group.images)) for group in learned]
        first = [(group, logits) for group, logits in known if logits is not None]
        others = [group for group, logits in known if logits is None]
        outputs = [evaluate_groups([group for group, _ in first], [logits for _, logits in first], self.world)]
        if others:
            with frozen_statistics(self.ddp, freeze=not self.options.update_bn):
                outputs += self._second_pass(inputs, others)
        return sum_of(*outputs, *(learn_together([group], self.ddp, self.numerics, self.world) for group in alone))

    def _second_pass(self, inputs: Inputs, others: Sequence[Group]) -> list[StepOutput]:
        """The terms of ``others`` and, if asked for, the base loss again."""
        again = [] if self.options.second_pass == "alone" else views(inputs)
        images = [*(group.images for group in others), *again]
        logits = [each.logits for each in forward(self.ddp, images, self.numerics)]
        second = evaluate_groups(others, logits[: len(others)], self.world)
        if not self.options.double_base:
            return [second]
        labelled, weak, strong = logits[len(others) :]
        assert self.label is not None
        return [second, evaluate_groups(self.label(inputs, weak.detach()), [labelled, strong], self.world)]


class ObservingPasses:
    """``forward: observe``: all views without gradient by the bare ``model``, then what is learned through ``ddp``.

    A sixth less time than joint and half its activations; the losses miss the weak views' statistics.
    """

    def __init__(
        self,
        model: nn.Module,
        ddp: nn.Module,
        numerics: Numerics,
        world: int,
        *,
        update_bn: bool = True,
        graphs: bool = False,
    ) -> None:
        """``update_bn``: mixed images count in the running statistics. ``graphs``: both modules are compiled."""
        self.model, self.ddp, self.numerics, self.world = model, ddp, numerics, world
        self.update_bn, self.graphs = update_bn, graphs

    @torch.no_grad()
    def observe(self, inputs: Inputs) -> Observed:
        """Forward of all views in training mode."""
        if self.graphs:
            torch.compiler.cudagraph_mark_step_begin()
        labelled, weak, _ = forward(self.model, views(inputs), self.numerics)
        return Observed(labelled, weak)

    def learn(self, inputs: Inputs, observed: Observed, groups: Sequence[Group]) -> StepOutput:
        """The views that are learned, in one pass; then the others, such as mixed images; then those alone."""
        learned, alone = divided(groups)
        known = {id(view) for part in inputs.parts.values() for view in (part.weak, part.strong)}
        first = [group for group in learned if id(group.images) in known]
        others = [group for group in learned if id(group.images) not in known]
        network = self.ddp, self.numerics, self.world
        outputs = [learn_together(first, *network)] if first else []
        if others:
            with frozen_statistics(self.ddp, freeze=not self.update_bn):
                outputs.append(learn_together(others, *network))
        return sum_of(*outputs, *(learn_together([group], *network) for group in alone))


class UnobservedPasses:
    """For labels alone, where nothing is labelled or tracked by what the network says: only what is learned is seen.

    As the reference code of mixup: its network never forwards the clean images that the mixed ones replace.
    """

    def __init__(
        self,
        ddp: nn.Module,
        numerics: Numerics,
        world: int,
        num_classes: int,
        *,
        options: MixingConfig,
        joined: Sequence[str] = (),
        graphs: bool = False,
    ) -> None:
        """``joined``: terms whose images go with the first. ``graphs``: ``ddp`` is compiled, perhaps to CUDA graphs."""
        self.ddp, self.numerics, self.world, self.num_classes = ddp, numerics, world, num_classes
        self.options, self.joined, self.graphs = options, joined, graphs

    def observe(self, inputs: Inputs) -> Observed:
        """Zeros of the right shapes."""
        assert len(inputs.unlabelled.weak) == 0
        if self.graphs:
            torch.compiler.cudagraph_mark_step_begin()
        labelled, unlabelled = (self._nothing(len(part.weak)) for part in (inputs.labelled, inputs.unlabelled))
        return Observed(labelled, unlabelled)

    def learn(self, inputs: Inputs, observed: Observed, groups: Sequence[Group]) -> StepOutput:
        """Clean images, then mixed ones in a pass of their own; together with ``mixing.second_pass: joint``.

        Then those alone. Generated images that are not go with the first.
        """
        learned, alone = divided([group for group in groups if len(group.images)])
        together = self.options.second_pass == "joint"
        first = learned if together else [*learned[:1], *(group for group in learned[1:] if group.term in self.joined)]
        others = [] if together else [group for group in learned[1:] if group.term not in self.joined]
        network = self.ddp, self.numerics, self.world
        output = learn_together(first, *network)
        with frozen_statistics(self.ddp, freeze=not self.options.update_bn):
            mixed = [learn_together([group], *network) for group in others]
        return sum_of(output, *mixed, *(learn_together([group], *network) for group in alone))

    def _nothing(self, count: int) -> Outputs:
        logits = torch.zeros(count, self.num_classes, dtype=self.numerics.dtype, device=self.numerics.device)
        return Outputs(logits, logits[:, :0])


def divided(groups: Sequence[Group]) -> tuple[list[Group], list[Group]]:
    """Of the groups that are learned at all: those that may share a pass, and those that are forwarded alone."""
    learned = [group for group in groups if group.weight]
    return [group for group in learned if not group.alone], [group for group in learned if group.alone]


def learn_together(groups: Sequence[Group], ddp: nn.Module, numerics: Numerics, world: int) -> StepOutput:
    """The groups in one forward pass; one whose activations are mixed is alone."""
    hidden = groups[0].hidden
    assert all(group.hidden is hidden for group in groups)
    outputs = forward(ddp, [group.images for group in groups], numerics, hidden)
    return evaluate_groups(groups, [each.logits for each in outputs], world)


def sum_of(*outputs: StepOutput) -> StepOutput:
    """Losses added. Of a term that occurs twice the log has the first, the guard looks at the last losses by image."""
    total = outputs[0]
    for more in outputs[1:]:
        terms, per_image = {**more.terms, **total.terms}, {**total.per_image, **more.per_image}
        total = StepOutput(total.loss + more.loss, terms, per_image)
    return total
