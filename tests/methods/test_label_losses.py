"""Losses on labels against one image and one class at a time, in plain Python, and their gradients."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from pipeline.config.sections import LossConfig
from pipeline.distributed import Ranks
from pipeline.methods.label_losses import LABEL_LOSSES, label_loss
from pipeline.methods.losses import cross_entropy
from tests.support.ranks import alone, on_ranks

Numbers = list[float]
BY_CLASS = [
    LossConfig(name="ce"),
    LossConfig(name="erl"),
    LossConfig(name="focal"),
    LossConfig(name="focal", gamma=1.5),
    LossConfig(name="flsd"),
    LossConfig(name="mbls", margin=1.0),
    LossConfig(name="mbls", margin=0.5, class_mean=False),
    LossConfig(name="brier"),
    LossConfig(name="brier", class_mean=False),
]
MMCE = [LossConfig(name="mmce", mmce_weight=0.7), LossConfig(name="mmce", mmce_weight=0.7, mmce_root=True)]
name_of = lambda options: f"{options.name}-{options.gamma}-{options.class_mean}-{options.mmce_root}"  # noqa: E731


def softmax(z: Numbers) -> Numbers:
    return [math.exp(a) / sum(math.exp(b) for b in z) for a in z]


def by_hand(options: LossConfig, z: Numbers, q: Numbers) -> float:
    """Of one image."""
    p, classes = softmax(z), range(len(z))
    ce = -sum(q[k] * math.log(p[k]) for k in classes)
    match options.name:
        case "ce":
            return ce
        case "erl":
            return ce + options.entropy_weight * sum(a * math.log(a) for a in p)
        case "focal":
            return -sum(q[k] * (1 - p[k]) ** options.gamma * math.log(p[k]) for k in classes)
        case "flsd":
            return -sum(q[k] * (1 - p[k]) ** (5 if p[k] < 0.2 else 3) * math.log(p[k]) for k in classes)
        case "mbls":
            beyond = [max(0.0, max(z) - a - options.margin) for a in z]
            return ce + options.margin_weight * sum(beyond) / (len(z) if options.class_mean else 1)
        case "brier":
            squares = sum((a - b) ** 2 for a, b in zip(p, q, strict=True))
            return squares / (len(z) if options.class_mean else 1)
    raise AssertionError(options.name)


def problem(n: int, num_classes: int, seed: int) -> tuple[Tensor, Tensor]:
    source = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(n, num_classes, generator=source, dtype=torch.float64)
    return logits, torch.randint(num_classes, (n,), generator=source)


@pytest.mark.parametrize("options", BY_CLASS, ids=name_of)
@given(num_classes=st.integers(2, 6), seed=st.integers(0, 2**31), eps=st.sampled_from([0.0, 0.05, 0.3]))
def test_values_are_those_by_hand(options: LossConfig, num_classes: int, seed: int, eps: float) -> None:
    logits, labels = problem(5, num_classes, seed)
    soft = problem(5, num_classes, seed + 1)[0].softmax(dim=1)
    hard = torch.nn.functional.one_hot(labels, num_classes).double()
    loss = label_loss(options)
    for targets, given_targets in ((hard, labels), (hard, hard), (soft, soft)):
        smoothed = (targets * (1 - eps) + eps / num_classes).tolist()
        expected = [by_hand(options, z, q) for z, q in zip(logits.tolist(), smoothed, strict=True)]
        assert loss(logits, given_targets, eps).tolist() == pytest.approx(expected, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("options", BY_CLASS, ids=name_of)
def test_gradients_are_those_of_finite_differences(options: LossConfig) -> None:
    logits, labels = problem(4, 5, seed=3)
    loss = label_loss(options)
    assert torch.autograd.gradcheck(lambda z: loss(z, labels, 0.1), logits.requires_grad_())


def mmce_by_hand(options: LossConfig, logits: Tensor, labels: Tensor) -> Tensor:
    """The mean over the batch, by a double loop over images, with gradient."""
    top = [z.softmax(dim=0).max(dim=0) for z in logits]
    gaps = [(answer == label).double() - value for (value, answer), label in zip(top, labels, strict=True)]
    total = torch.zeros((), dtype=torch.float64)
    for (value, _), gap in zip(top, gaps, strict=True):
        for (other, _), other_gap in zip(top, gaps, strict=True):
            total = total + gap * other_gap * torch.exp(-(value - other).abs() / 0.4)
    total = total / len(labels) ** 2
    penalty = total.sqrt() if options.mmce_root else total
    return cross_entropy(logits, labels).mean() + options.mmce_weight * penalty


def value_and_gradient(loss: Callable[[Tensor], Tensor], logits: Tensor) -> tuple[Tensor, Tensor]:
    logits = logits.clone().requires_grad_()
    value = loss(logits)
    value.backward()
    assert logits.grad is not None
    return value.detach(), logits.grad


@pytest.mark.parametrize("options", MMCE, ids=name_of)
@pytest.mark.parametrize("seed", range(5))
def test_mmce_is_the_double_sum(options: LossConfig, seed: int) -> None:
    logits, labels = problem(7, 4, seed)
    loss = label_loss(options)
    ours = alone(lambda _: value_and_gradient(lambda z: loss(z, labels).mean(), logits))
    torch.testing.assert_close(ours, value_and_gradient(lambda z: mmce_by_hand(options, z, labels), logits))


def shares(ranks: Ranks) -> list[Any]:
    """This rank's part of the images, and what they contribute to the gradient."""
    logits, labels = problem(8, 4, seed=1)
    each = len(labels) // ranks.world
    mine = slice(ranks.rank * each, (ranks.rank + 1) * each)
    parts = []
    for options in MMCE:
        loss = label_loss(options)
        parts.append(value_and_gradient(partial(_share, loss, labels[mine], len(labels)), logits[mine]))
    return parts


def _share(loss: Any, labels: Tensor, count: int, logits: Tensor) -> Tensor:
    whole: Tensor = loss(logits, labels).sum() / count
    return whole


@pytest.mark.xdist_group("ranks")
def test_mmce_pairs_images_of_all_ranks() -> None:
    whole = alone(shares)
    parts = on_ranks(2, shares)
    for (value, gradient), *by_rank in zip(whole, *parts, strict=True):
        torch.testing.assert_close(sum(part[0] for part in by_rank), value)
        torch.testing.assert_close(torch.cat([part[1] for part in by_rank]), gradient)


def test_focal_of_gamma_0_and_ce_agree() -> None:
    logits, labels = problem(6, 5, seed=0)
    torch.testing.assert_close(
        label_loss(LossConfig(name="focal", gamma=0.0))(logits, labels), cross_entropy(logits, labels)
    )


@pytest.mark.parametrize("name", LABEL_LOSSES)
def test_certain_answers_have_finite_losses_and_gradients(name: str) -> None:
    """Logits 200 apart: p is 1 and 0 in float32, right for one image and wrong for the other."""
    logits = torch.tensor([[200.0, 0, 0], [200.0, 0, 0]], requires_grad=True)
    loss = label_loss(LossConfig(name=name))
    value = alone(lambda _: loss(logits, torch.tensor([0, 2])))
    value.sum().backward()
    assert value.isfinite().all()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
