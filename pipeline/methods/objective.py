"""The objective (CalibrateMix Eq. 10): which groups of images a step learns, and the value of each loss term."""

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from pipeline.config import Config
from pipeline.methods.label_losses import label_loss
from pipeline.methods.losses import SmoothedLoss, cross_entropy, effective_epsilon, rank_share
from pipeline.methods.step_types import Group, Inputs, Loss, PseudoLabels, StepOutput

TERMS = ("labelled", "unlabelled", "mix")  # in metrics.jsonl as loss_<term>; 0 where a step has no such group


def terms_of(config: Config) -> tuple[str, ...]:
    """TERMS, and that of generated images in a run that has some."""
    return (*TERMS, "augmented") if config.augmented.dataset else TERMS


class Objective:
    """The base algorithm's groups: labels on labelled images, pseudo-labels on strong views of unlabelled ones."""

    def __init__(self, config: Config, num_classes: int) -> None:
        self.labelled_loss = smoothed(label_loss(config.loss), config, config.smoothing.labelled, num_classes)
        self.unlabelled_loss = smoothed(cross_entropy, config, config.smoothing.unlabelled, num_classes)
        self.counts = config.batch.labelled, config.unlabelled_batch
        self.unlabelled_weight = config.unlabelled.weight

    def groups(self, inputs: Inputs, pseudo: PseudoLabels) -> list[Group]:
        """[labelled, unlabelled] of this rank; the latter is empty in supervised training."""
        labelled, unlabelled = inputs.labelled, inputs.unlabelled
        assert labelled.labels is not None and unlabelled.strong is not None
        return [
            Group("labelled", labelled.weak, labelled.labels, self.labelled_loss, self.counts[0]),
            Group(
                "unlabelled",
                unlabelled.strong,
                pseudo.label,
                self.unlabelled_loss,
                self.counts[1],
                self.unlabelled_weight,
                pseudo.weight,
            ),
        ]


def smoothed(loss: SmoothedLoss, config: Config, applies: bool, num_classes: int) -> Loss:
    """``loss``, its targets smoothed by ``label_smoothing`` where that ``applies`` to them."""
    eps = effective_epsilon(config.label_smoothing, config.smoothing.form, num_classes) if applies else 0.0
    return partial(loss, eps=eps)


def evaluate_groups(groups: Sequence[Group], logits: Sequence[Tensor], world: int) -> StepOutput:
    """Loss, terms and per-image losses of ``groups``, given the logits [n, C] of each. ``world``: number of ranks."""
    terms, per_image = dict[str, Tensor](), dict[str, Tensor]()
    loss = torch.zeros(())
    for number, (group, outputs) in enumerate(zip(groups, logits, strict=True)):
        assert group.term not in terms, f"two groups of term {group.term}"
        losses = group.loss(outputs, group.targets)
        weighted = losses if group.image_weights is None else losses * group.image_weights
        per_image[group.term] = weighted.detach()
        terms[group.term] = term = rank_share(weighted, group.count, world)
        loss = loss + group.weight * term if number else group.weight * term
    return StepOutput(loss, terms, per_image)
