"""Observe and learn: what carries a gradient, what each loss term is, and any number of groups."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from pipeline import config, models
from pipeline.config.options import FORWARDS
from pipeline.config.sections import ModelConfig
from pipeline.data.batches import Batch, HostPart
from pipeline.methods.losses import LOSSES, cross_entropy
from pipeline.methods.objective import Objective, smoothed
from pipeline.methods.step_types import Group, Inputs, PseudoLabels, StepOutput
from pipeline.training.passes import JointPasses, ObservingPasses
from pipeline.training.step import Passes, frozen_statistics, to_device
from tests.support.problems import CLASSES, batch, context, numerics
from tests.support.ranks import alone

BOTH = pytest.mark.parametrize("forward", FORWARDS)
NUM, UNLABELLED = 4, 12
PSEUDO = PseudoLabels(torch.arange(UNLABELLED) % CLASSES, torch.arange(UNLABELLED).double() / UNLABELLED)
MIXED = Group(
    "mix",
    torch.randn(4, 3, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(3)),
    torch.rand(4, CLASSES, dtype=torch.float64, generator=torch.Generator().manual_seed(4)),
    cross_entropy,
    4,
    image_weights=torch.tensor([1.0, 1.0, 0.0, 1.0], dtype=torch.float64),
)


def network(norm: str = "group") -> torch.nn.Module:
    made = models.build(ModelConfig(name="wrn-10-1", norm=norm, norm_momentum=0.5), CLASSES, 0)
    return made.double().train()


def inputs() -> Inputs:
    return alone(batch)[0]


def mixed(*sets: str) -> Group:
    """MIXED as the mixing pool makes it under these options."""
    settings = context(*sets).config
    loss = smoothed(LOSSES[settings.mixing.loss], settings, settings.smoothing.mixed, CLASSES)
    return replace(MIXED, loss=loss, weight=settings.mixing.weight)


def passes_of(model: torch.nn.Module, forward: str, *sets: str) -> Passes:
    options = context(f"forward={forward}", *sets).config.mixing
    if forward == "observe":
        return ObservingPasses(model, model, numerics(), 1, update_bn=options.update_bn)
    return JointPasses(model, numerics(), 1, options=options)


def learn(model: torch.nn.Module, given: Inputs, forward: str, mix: bool, *sets: str) -> StepOutput:
    passes = passes_of(model, forward, *sets)
    groups = Objective(context(*sets).config, CLASSES).groups(given, PSEUDO)
    return passes.learn(given, passes.observe(given), [*groups, mixed(*sets)] if mix else groups)


def check(output: StepOutput, loss: torch.Tensor, **terms: torch.Tensor) -> None:
    torch.testing.assert_close(output.loss, loss)
    assert set(output.terms) == set(output.per_image) == set(terms)
    for name, value in terms.items():
        torch.testing.assert_close(output.terms[name], value)


@BOTH
def test_the_weak_views_are_observed_among_all_views(forward: str) -> None:
    """In training mode, under the statistics of the batch that the losses train: once they were observed alone."""
    model, other = network("batch"), network("batch")
    other.load_state_dict(model.state_dict())
    before = model.norm.running_mean.clone()
    observed = passes_of(model, forward).observe(inputs())
    logits, features = other(joint_batch())
    torch.testing.assert_close(observed.labelled.logits, logits[:NUM].detach())
    torch.testing.assert_close(observed.unlabelled.logits, logits[NUM : NUM + UNLABELLED].detach())
    torch.testing.assert_close(observed.unlabelled.features, features[NUM : NUM + UNLABELLED].detach())
    assert not any(x.requires_grad for outputs in (observed.labelled, observed.unlabelled) for x in outputs)
    assert not torch.equal(model.norm.running_mean, before)


def joint_batch() -> torch.Tensor:
    """[labelled, weak, strong] of the fixed batch."""
    parts = inputs()
    return numerics().normalise(torch.cat([parts.labelled.weak, parts.unlabelled.weak, parts.unlabelled.strong]))


def expected_terms(model: torch.nn.Module, given: Inputs, eps: float = 0.0) -> tuple[torch.Tensor, ...]:
    """Eq. 10 written out with three separate forward passes (group norm keeps them apart)."""
    normalise, part = numerics().normalise, given.labelled
    labelled = F.cross_entropy(model(normalise(part.weak))[0], part.labels, label_smoothing=eps)
    logits = model(normalise(given.unlabelled.strong))[0]
    per_image = F.cross_entropy(logits, PSEUDO.label, reduction="none", label_smoothing=eps)
    targets = MIXED.targets * (1 - eps) + eps / CLASSES
    mix = -((targets * model(MIXED.images)[0].log_softmax(1)).sum(1) * MIXED.image_weights).sum() / 4
    return labelled, (per_image * PSEUDO.weight).mean(), mix


@BOTH
@pytest.mark.parametrize("eps", [0.0, 0.1])
def test_terms_equal_the_equations(eps: float, forward: str) -> None:
    model, given = network(), inputs()
    output = learn(model, given, forward, True, "unlabelled.weight=2", "mixing.weight=0.5", f"label_smoothing={eps}")
    labelled, unlabelled, mix = expected_terms(model, given, eps)
    check(output, labelled + 2 * unlabelled + 0.5 * mix, labelled=labelled, unlabelled=unlabelled, mix=mix)
    plain = learn(model, given, forward, False, f"label_smoothing={eps}")
    check(plain, labelled + unlabelled, labelled=labelled, unlabelled=unlabelled)
    assert not any(losses.requires_grad for losses in output.per_image.values())


@pytest.mark.parametrize("where", ["labelled", "unlabelled", "mixed"])
def test_smoothing_acts_where_it_is_asked_to(where: str) -> None:
    model, given, names = network(), inputs(), ("labelled", "unlabelled", "mixed")
    off = [f"smoothing.{x}=false" for x in names if x != where]
    output = learn(model, given, "joint", True, "label_smoothing=0.1", *off)
    plain, smoothed = expected_terms(model, given), expected_terms(model, given, 0.1)
    for name, term, p, s in zip(names, ("labelled", "unlabelled", "mix"), plain, smoothed, strict=True):
        torch.testing.assert_close(output.terms[term], s if name == where else p)


@BOTH
def test_a_group_of_weight_0_is_not_learned(forward: str) -> None:
    """Nor is a mixed one forwarded, which would move the running statistics."""
    model, without, given = network("batch"), network("batch"), inputs()
    output = learn(model, given, forward, True, "unlabelled.weight=0", "mixing.weight=0")
    passes, groups = passes_of(without, forward), Objective(context().config, CLASSES).groups(given, PSEUDO)
    check(output, passes.learn(given, passes.observe(given), groups[:1]).loss, labelled=output.loss)
    torch.testing.assert_close(model.norm.running_mean, without.norm.running_mean)


@BOTH
def test_groups_of_any_number_and_place(forward: str) -> None:
    """A second set with soft targets beside the first; a group that stands in for the labelled images."""
    model, given = network(), inputs()
    passes = passes_of(model, forward)
    (labelled, unlabelled), observed = Objective(context().config, CLASSES).groups(given, PSEUDO), passes.observe(given)
    more = Group("generated", given.unlabelled.weak[:6], MIXED.targets[[0, 1, 2, 3, 0, 1]], cross_entropy, 6, 0.25)
    output = passes.learn(given, observed, [more, labelled, MIXED, unlabelled])
    first, second, mix = expected_terms(model, given)
    logits = model(numerics().normalise(more.images))[0].log_softmax(1)
    generated = -(more.targets * logits).sum(1).mean()
    loss = 0.25 * generated + first + mix + second
    check(output, loss, generated=generated, labelled=first, mix=mix, unlabelled=second)
    replaced = passes.learn(given, observed, [replace(MIXED, term="labelled"), unlabelled])
    check(replaced, mix + second, labelled=mix, unlabelled=second)


@BOTH
def test_only_the_objective_trains_and_the_weak_views_do_not(forward: str) -> None:
    model, given = network(), inputs()
    blank = replace(given.unlabelled, weak=torch.zeros_like(given.unlabelled.weak))
    other = replace(given, parts={**given.parts, "unlabelled": blank})
    losses = [learn(model, views, forward, False).loss for views in (given, other)]
    assert losses[0] == losses[1]
    losses[0].backward()
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)


def test_mixed_images_have_statistics_of_their_own() -> None:
    """By default; with second_pass=joint all views are forwarded with them again."""
    base = network("batch")
    logits = base(joint_batch())[0]
    for second_pass in ("alone", "joint"):
        model, given = network("batch"), inputs()
        output = learn(model, given, "joint", True, f"mixing.second_pass={second_pass}")
        torch.testing.assert_close(output.terms["labelled"], F.cross_entropy(logits[:NUM], given.labelled.labels))
        batch = MIXED.images if second_pass == "alone" else torch.cat([MIXED.images, joint_batch()])
        mixed_logits = network("batch")(batch)[0][:4].log_softmax(1)
        expected = -((MIXED.targets * mixed_logits).sum(1) * MIXED.image_weights).sum() / 4
        torch.testing.assert_close(output.terms["mix"], expected)


def test_the_base_loss_counts_twice_by_option_only() -> None:
    """And the algorithm labels again, from the weak views of the second pass."""
    model, given, asked = network(), inputs(), list[torch.Tensor]()
    settings = context("mixing.second_pass=joint", "mixing.double_base=true", "mixing.weight=2").config
    objective = Objective(settings, CLASSES)

    def label(views: Inputs, logits: torch.Tensor) -> list[Group]:
        asked.append(logits)
        return objective.groups(views, PSEUDO)

    passes = JointPasses(model, numerics(), 1, options=settings.mixing, label=label)
    observed = passes.observe(given)
    output = passes.learn(given, observed, [*objective.groups(given, PSEUDO), mixed("mixing.weight=2")])
    labelled, unlabelled, mix = expected_terms(model, given)
    terms = {"labelled": labelled, "unlabelled": unlabelled, "mix": mix}
    check(output, 2 * (labelled + unlabelled) + 2 * mix, **terms)
    assert len(asked) == 1 and not asked[0].requires_grad
    torch.testing.assert_close(asked[0], observed.unlabelled.logits)


@BOTH
def test_mixed_images_may_leave_running_statistics_alone(forward: str) -> None:
    moved, kept, plain = network("batch"), network("batch"), network("batch")
    learn(moved, inputs(), forward, True)
    learn(kept, inputs(), forward, True, "mixing.update_bn=false")
    learn(plain, inputs(), forward, False)
    torch.testing.assert_close(kept.norm.running_mean, plain.norm.running_mean)
    assert not torch.allclose(moved.norm.running_mean, kept.norm.running_mean)
    with frozen_statistics(kept, freeze=True):
        assert kept.norm.momentum == 0
    assert kept.norm.momentum == 0.5


def test_rows_name_the_global_labelled_batch() -> None:
    def put(ranks) -> Inputs:  # type: ignore[no-untyped-def]
        index, visit, views = np.array([7, 3, 7, 9]), np.zeros(4, np.int64), torch.zeros(4, 3, 8, 8)
        part = HostPart(index, visit, np.searchsorted([3, 5, 7, 9], index), views, None)
        return to_device(Batch(0, {"labelled": part, "other": part}), torch.tensor([0, 1, 2, 0]), ranks)

    made = alone(put)
    assert made.labelled.rows.tolist() == [2, 0, 2, 3]
    assert made.labelled.labels.tolist() == [2, 0, 2, 0]
    assert made.labelled.index.tolist() == [7, 3, 7, 9]
    assert made.parts["other"].labels is None and made.labelled.strong is None
    assert config.load(None, ["dataset=x"]).forward == "joint"
