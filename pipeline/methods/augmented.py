"""Generated images between two classes, learned beside the labelled ones under soft labels (CSM, Eq. 13 and 14)."""

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.annotation import soft_labels
from pipeline.annotation.soft_labelled import SoftLabelled
from pipeline.config import Config
from pipeline.config.sections import AugmentedConfig
from pipeline.methods.label_losses import brier, focal
from pipeline.methods.losses import cross_entropy
from pipeline.methods.step_types import Group, Inputs, Loss

PART = "augmented"  # of the batch, and the term of its loss


class Augmented:
    """What a step learns of its generated images. Labels of a batch are made as it comes, of a number an image."""

    def __init__(
        self, config: Config, generated: SoftLabelled, num_classes: int, device: torch.device, dtype: torch.dtype
    ) -> None:
        """Tables go to the ``device``, labels have the ``dtype`` of logits."""
        options = config.augmented
        self.labels = RowLabels(options, generated, num_classes, device, dtype)
        self.loss = augmented_loss(config)
        self.count, self.weight = config.augmented_batch, options.weight
        self.alone = options.forward == "separate"

    @property
    def joined(self) -> bool:
        """Whether they are forwarded with the views, which weight 0 does not ask for."""
        return not self.alone and self.weight > 0

    def groups(self, inputs: Inputs) -> list[Group]:
        """One, of this rank's generated images."""
        part = inputs.parts[PART]
        labels = self.labels(part.rows)
        return [Group(PART, part.weak, labels, self.loss, self.count, self.weight, alone=self.alone)]


class RowLabels:
    """Soft labels q [n, K] of the images in ``rows`` [n] int64, by ``augmented.labels``."""

    def __init__(
        self,
        options: AugmentedConfig,
        generated: SoftLabelled,
        num_classes: int,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        groups, annotation = generated.groups, generated.annotation
        self.num_classes, self.places = num_classes, len(groups.ratios)
        self.first, self.second = (torch.from_numpy(x).to(device) for x in (groups.first, groups.second))
        self.of_numbers = numbered_labels(options)
        numbers: NDArray[np.floating] = np.tile(groups.ratios, len(groups.first))
        if annotation is not None:
            numbers = annotation.lambda_e if self.of_numbers else annotation.zero_shot
        self.numbers = torch.from_numpy(numbers).to(device, dtype)  # [N], or [N, K]

    def __call__(self, rows: Tensor) -> Tensor:
        """Each adds up to 1."""
        numbers = self.numbers[rows]
        if self.of_numbers is None:
            return soft_labels.zero_shot(numbers)
        group = rows // self.places
        pair = {"first": self.first[group], "second": self.second[group]}
        return self.of_numbers(numbers, **pair, num_classes=self.num_classes)


def numbered_labels(options: AugmentedConfig) -> Callable[..., Tensor] | None:
    """q of a number an image, lambda_E or the ratio; None for distributions, which are labels themselves."""
    known: dict[str, Callable[..., Tensor]] = {
        "reannotated": partial(soft_labels.reannotated, scale=options.scale),
        "ratio": soft_labels.ratio,
        "one_hot": soft_labels.one_hot,
    }
    return known.get(options.labels)


def augmented_loss(config: Config) -> Loss:
    """Of soft labels as they are: ``label_smoothing`` is for labels that are too sure."""
    options = config.augmented
    losses: dict[str, Loss] = {
        "l2": partial(brier, mean=options.normalise_by_classes),
        "ce": cross_entropy,
        "focal": partial(focal, gamma=config.loss.gamma),
    }
    return losses[options.loss]
