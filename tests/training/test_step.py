"""Observe and learn: what carries a gradient, what each loss term is, and any number of groups."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from pipeline import config, models
from pipeline.config.options import ModelConfig
from pipeline.data.batches import Batch, HostPart
from pipeline.methods.losses import cross_entropy
from pipeline.methods.objective import Objective, smoothed_loss
from pipeline.methods.step_types import Group, Inputs, Observed, PseudoLabels, StepOutput
from pipeline.training.joint_passes import JointPasses, frozen_statistics
from pipeline.training.step import SplitPasses, to_device
from tests.support.problems import CLASSES, batch, context, numerics
from tests.support.ranks import alone

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
    loss = smoothed_loss(settings.mixing.loss, settings, settings.smoothing.mixed, CLASSES)
    return replace(MIXED, loss=loss, weight=settings.mixing.weight)


def split_passes(model: torch.nn.Module, unobserved: int | None = None) -> SplitPasses:
    return SplitPasses(model, model, numerics(), 1, unobserved=unobserved)


def learn(model: torch.nn.Module, given: Inputs, mix: bool, *sets: str) -> StepOutput:
    passes = split_passes(model)
    groups = Objective(context(*sets).config, CLASSES).groups(given, PSEUDO)
    return passes.learn(given, passes.observe(given), [*groups, mixed(*sets)] if mix else groups)


def check(output: StepOutput, loss: torch.Tensor, **terms: torch.Tensor) -> None:
    torch.testing.assert_close(output.loss, loss)
    assert set(output.terms) == set(output.per_image) == set(terms)
    for name, value in terms.items():
        torch.testing.assert_close(output.terms[name], value)


def test_observe_has_no_gradient_and_runs_in_training_mode() -> None:
    model = network("batch")
    before = model.norm.running_mean.clone()
    observed = split_passes(model).observe(inputs())
    assert not observed.unlabelled.logits.requires_grad
    shapes = observed.labelled.logits.shape, observed.unlabelled.features.shape
    assert shapes == ((NUM, CLASSES), (UNLABELLED, 64))
    assert not torch.equal(model.norm.running_mean, before)


def test_nothing_is_observed_where_nothing_looks() -> None:
    model = network("batch")
    before = model.norm.running_mean.clone()
    observed = split_passes(model, unobserved=CLASSES).observe(inputs())
    assert observed.unlabelled.logits.shape == (0, CLASSES)
    assert torch.equal(model.norm.running_mean, before)


def expected_terms(model: torch.nn.Module, given: Inputs, eps: float = 0.0) -> tuple[torch.Tensor, ...]:
    """Eq. 10 written out with three separate forward passes (group norm keeps them apart)."""
    normalise, part = numerics().normalise, given.labelled
    labelled = F.cross_entropy(model(normalise(part.weak))[0], part.labels, label_smoothing=eps)
    logits = model(normalise(given.unlabelled.strong))[0]
    per_image = F.cross_entropy(logits, PSEUDO.label, reduction="none", label_smoothing=eps)
    targets = MIXED.targets * (1 - eps) + eps / CLASSES
    mix = -((targets * model(MIXED.images)[0].log_softmax(1)).sum(1) * MIXED.image_weights).sum() / 4
    return labelled, (per_image * PSEUDO.weight).mean(), mix


@pytest.mark.parametrize("eps", [0.0, 0.1])
def test_terms_equal_the_equations(eps: float) -> None:
    model, given = network(), inputs()
    output = learn(model, given, True, "unlabelled.weight=2", "mixing.weight=0.5", f"label_smoothing={eps}")
    labelled, unlabelled, mix = expected_terms(model, given, eps)
    check(output, labelled + 2 * unlabelled + 0.5 * mix, labelled=labelled, unlabelled=unlabelled, mix=mix)
    plain = learn(model, given, False, f"label_smoothing={eps}")
    check(plain, labelled + unlabelled, labelled=labelled, unlabelled=unlabelled)
    assert not any(losses.requires_grad for losses in output.per_image.values())


@pytest.mark.parametrize("where", ["labelled", "unlabelled", "mixed"])
def test_smoothing_acts_where_it_is_asked_to(where: str) -> None:
    model, given, names = network(), inputs(), ("labelled", "unlabelled", "mixed")
    off = [f"smoothing.{x}=false" for x in names if x != where]
    output = learn(model, given, True, "label_smoothing=0.1", *off)
    plain, smoothed = expected_terms(model, given), expected_terms(model, given, 0.1)
    for name, term, p, s in zip(names, ("labelled", "unlabelled", "mix"), plain, smoothed, strict=True):
        torch.testing.assert_close(output.terms[term], s if name == where else p)


def test_a_group_of_weight_0_is_not_forwarded() -> None:
    """Nor does it touch the batch statistics that the others are normalised with."""
    model, without, given = network("batch"), network("batch"), inputs()
    output = learn(model, given, True, "unlabelled.weight=0", "mixing.weight=0")
    passes, groups = split_passes(without), Objective(context().config, CLASSES).groups(given, PSEUDO)
    check(output, passes.learn(given, passes.observe(given), groups[:1]).loss, labelled=output.loss)
    torch.testing.assert_close(model.norm.running_mean, without.norm.running_mean)


def test_groups_of_any_number_and_place() -> None:
    """A second set with soft targets beside the first; a group that stands in for the labelled images."""
    model, given, passes = network(), inputs(), split_passes(network())
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


def test_only_the_objective_trains_and_the_weak_views_do_not() -> None:
    model, given = network(), inputs()
    blank = replace(given.unlabelled, weak=torch.zeros_like(given.unlabelled.weak))
    other = replace(given, parts={**given.parts, "unlabelled": blank})
    losses = [learn(model, views, False).loss for views in (given, other)]
    assert losses[0] == losses[1]
    losses[0].backward()
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)


class Fixed:
    """An algorithm that counts how often it is asked."""

    def __init__(self) -> None:
        self.asked: list[torch.Tensor] = []

    def pseudo_label(self, logits: torch.Tensor, rows: torch.Tensor) -> PseudoLabels:
        self.asked.append(logits)
        return PSEUDO

    def state(self) -> dict:
        return {}


def joint(model: torch.nn.Module, *sets: str) -> tuple[StepOutput, Observed, Fixed]:
    algorithm, given, sets = Fixed(), inputs(), ("forward=joint", *sets)
    settings = context(*sets).config
    objective = Objective(settings, CLASSES)
    passes = JointPasses(model, numerics(), 1, options=settings.mixing, algorithm=algorithm, objective=objective)  # type: ignore[arg-type]
    observed = passes.observe(given)
    return passes.learn(given, observed, [*objective.groups(given, PSEUDO), mixed(*sets)]), observed, algorithm


def test_joint_equals_split_where_images_do_not_touch() -> None:
    """With group norm the grouping of passes changes nothing; the base loss counts twice by option only."""
    model, given = network(), inputs()
    labelled, unlabelled, mix = expected_terms(model, given)
    terms = {"labelled": labelled, "unlabelled": unlabelled, "mix": mix}
    for second_pass in ("joint", "alone"):
        output, observed, algorithm = joint(model, f"mixing.second_pass={second_pass}")
        check(output, labelled + unlabelled + mix, **terms)
        assert not observed.unlabelled.logits.requires_grad
        assert algorithm.asked == []
    output, observed, algorithm = joint(model, "mixing.double_base=true", "mixing.weight=2")
    check(output, 2 * (labelled + unlabelled) + 2 * mix, **terms)
    torch.testing.assert_close(algorithm.asked[0], observed.unlabelled.logits)


def joint_batch() -> torch.Tensor:
    """[labelled, weak, strong] of the fixed batch."""
    parts = inputs()
    return numerics().normalise(torch.cat([parts.labelled.weak, parts.unlabelled.weak, parts.unlabelled.strong]))


def test_a_joint_batch_norm_sees_all_three_views() -> None:
    model, other = network("batch"), network("batch")
    other.load_state_dict(model.state_dict())
    logits, _ = other(joint_batch())
    _, observed, _ = joint(model)
    torch.testing.assert_close(observed.unlabelled.logits, logits[NUM : NUM + UNLABELLED].detach())


def test_second_pass_may_leave_running_statistics_alone() -> None:
    moved, kept = network("batch"), network("batch")
    joint(moved)
    joint(kept, "mixing.update_bn=false")
    first_pass = network("batch")
    first_pass(joint_batch())
    torch.testing.assert_close(kept.norm.running_mean, first_pass.norm.running_mean)
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
    assert config.load(None, ["dataset=x"]).forward == "split"
