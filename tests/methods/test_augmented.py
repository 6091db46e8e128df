"""Losses and labels of generated images, against sums in plain Python and the labels of all images at once."""

import math
from typing import Any

import numpy as np
import pytest
import torch

from pipeline.annotation import soft_labels
from pipeline.annotation.soft_labelled import SoftLabelled
from pipeline.config.options import Config
from pipeline.methods.augmented import Augmented, augmented_loss
from pipeline.methods.step_types import Inputs, Part
from tests.support.problems import context
from tests.support.soft_labelled import made_up

K, PLACES = 10, 4
FIRST, SECOND = [0, 2, 5], [1, 9, 6]
ON = "augmented.dataset=x-csm"


def generated(config: Config) -> SoftLabelled:
    return made_up(config, FIRST, SECOND, K, PLACES)


def augmented(*sets: str) -> Augmented:
    config = context(ON, *sets).config
    return Augmented(config, generated(config), K, torch.device("cpu"), torch.float64)


@pytest.mark.parametrize("name", ["reannotated", "ratio", "one_hot", "zero_shot"])
def test_labels_of_rows_are_those_of_all_images(name: str) -> None:
    of = generated(context(ON).config)
    assert of.annotation is not None
    numbers = torch.from_numpy(of.annotation.lambda_e).double(), torch.from_numpy(np.tile(of.groups.ratios, 3))
    pair = [torch.tensor(each).repeat_interleave(PLACES) for each in (FIRST, SECOND)]
    whole = {
        "reannotated": soft_labels.reannotated(numbers[0], 2.5, *pair, K),
        "ratio": soft_labels.ratio(numbers[1], *pair, K),
        "one_hot": soft_labels.one_hot(numbers[1], *pair, K),
        "zero_shot": soft_labels.zero_shot(torch.from_numpy(of.annotation.zero_shot).double()),
    }[name]
    rows = torch.tensor([7, 0, 11, 7, 4, 3])
    found = augmented(f"augmented.labels={name}", "augmented.scale=2.5").labels(rows)
    assert found.dtype == torch.float64
    torch.testing.assert_close(found, whole[rows], rtol=0, atol=1e-12)
    torch.testing.assert_close(found.sum(1), torch.ones(6, dtype=torch.float64))


LOGITS, TARGET = [0.3, -1.2, 2.0], [0.25, 0.0, 0.75]
P = [math.exp(z) / sum(math.exp(y) for y in LOGITS) for z in LOGITS]
L2 = sum((p - q) ** 2 for p, q in zip(P, TARGET, strict=True))


@pytest.mark.parametrize(
    ("sets", "expected"),
    [
        ((), L2),
        (("augmented.normalise_by_classes=true",), L2 / 3),
        (("augmented.loss=ce",), -sum(q * math.log(p) for p, q in zip(P, TARGET, strict=True))),
        (
            ("augmented.loss=focal", "loss.gamma=1.5"),
            -sum(q * (1 - p) ** 1.5 * math.log(p) for p, q in zip(P, TARGET, strict=True)),
        ),
    ],
)
def test_losses(sets: tuple[str, ...], expected: float) -> None:
    """Soft labels are learned as they are: smoothing is of labels."""
    loss = augmented_loss(context(ON, "label_smoothing=0.1", *sets).config)
    found = loss(*(torch.tensor([row], dtype=torch.float64) for row in (LOGITS, TARGET)))
    assert found.tolist() == pytest.approx([expected], rel=1e-12)


def test_the_group_of_a_step() -> None:
    nothing: Any = None
    rows = torch.tensor([1, 2, 5, 6])
    part = Part(torch.zeros(4, 3, 8, 8, dtype=torch.uint8), nothing, nothing, rows, nothing, nothing)
    made = augmented("augmented.weight=0.5", "augmented.per_image=3", "batch.labelled=4")
    (group,) = made.groups(Inputs(0, {"augmented": part}))
    assert (group.term, group.count, group.weight, group.alone) == ("augmented", 12, 0.5, True)
    assert group.images is part.weak and torch.equal(group.targets, made.labels(rows))
    joint = augmented("augmented.forward=joint")
    assert joint.joined and not made.joined and not joint.groups(Inputs(0, {"augmented": part}))[0].alone
    assert not augmented("augmented.forward=joint", "augmented.weight=0").joined
