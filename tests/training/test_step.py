"""Observe and learn: what carries a gradient, what each loss term is."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from pipeline import config, models
from pipeline.config.options import ModelConfig
from pipeline.data.batches import Views
from pipeline.methods.protocols import PseudoLabels
from pipeline.training.joint import Joint, frozen_statistics
from pipeline.training.step import Inputs, Mixed, Objective, Observed, Split, to_device
from tests.support.problems import CLASSES, batch, numerics, problem
from tests.support.ranks import alone

NUM, UNLABELLED = 4, 12
PSEUDO = PseudoLabels(torch.arange(UNLABELLED) % CLASSES, torch.arange(UNLABELLED).double() / UNLABELLED)
MIXED = Mixed(
    torch.randn(4, 3, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(3)),
    torch.rand(4, CLASSES, dtype=torch.float64, generator=torch.Generator().manual_seed(4)),
    torch.tensor([1.0, 1.0, 0.0, 1.0], dtype=torch.float64),
    4,
    1,
)


def network(norm: str = "group") -> torch.nn.Module:
    made = models.build(ModelConfig(name="wrn-10-1", norm=norm, norm_momentum=0.5), CLASSES, 0)
    return made.double().train()


def inputs() -> Inputs:
    return alone(batch)[0]


def objective(*sets: str) -> Objective:
    return Objective(problem(*sets).config, CLASSES, numerics())


def learn(model: torch.nn.Module, given: Inputs, mixed: Mixed | None, *sets: str) -> torch.Tensor:
    passes = Split(model, model, True, objective(*sets))
    return passes.learn(given, passes.observe(given), PSEUDO, mixed)


def test_observe_has_no_gradient_and_runs_in_training_mode() -> None:
    model = network("batch")
    before = model.norm.running_mean.clone()
    seen = Split(model, model, True, objective()).observe(inputs())
    assert not seen.unlabelled_logits.requires_grad
    assert (seen.labelled_logits.shape, seen.unlabelled_features.shape) == ((NUM, CLASSES), (UNLABELLED, 64))
    assert not torch.equal(model.norm.running_mean, before)


def test_nothing_is_observed_where_nothing_looks() -> None:
    model = network("batch")
    before = model.norm.running_mean.clone()
    seen = Split(model, model, False, objective()).observe(inputs())
    assert seen.unlabelled_logits.shape == (0, CLASSES)
    assert torch.equal(model.norm.running_mean, before)


def expected_terms(model: torch.nn.Module, given: Inputs, eps: float = 0.0) -> tuple[torch.Tensor, ...]:
    """Eq. 10 written out with three separate forward passes (group norm keeps them apart)."""
    normalise = numerics().normalise
    labelled = F.cross_entropy(model(normalise(given.views.labelled))[0], given.labels, label_smoothing=eps)
    logits = model(normalise(given.views.strong))[0]
    per_image = F.cross_entropy(logits, PSEUDO.label, reduction="none", label_smoothing=eps)
    targets = MIXED.targets * (1 - eps) + eps / CLASSES
    mix = -((targets * model(MIXED.images)[0].log_softmax(1)).sum(1) * MIXED.weight).sum() / 4
    return labelled, (per_image * PSEUDO.weight).mean(), mix


@pytest.mark.parametrize("eps", [0.0, 0.1])
def test_terms_equal_the_equations(eps: float) -> None:
    model, given = network(), inputs()
    terms = learn(model, given, MIXED, "unlabelled.weight=2", "mixing.weight=0.5", f"label_smoothing={eps}")
    labelled, unlabelled, mix = expected_terms(model, given, eps)
    total = labelled + 2 * unlabelled + 0.5 * mix
    torch.testing.assert_close(terms, torch.stack([total, labelled, unlabelled, mix, PSEUDO.weight.mean()]))
    plain = learn(model, given, None, f"label_smoothing={eps}")
    torch.testing.assert_close(plain[0], labelled + unlabelled)
    assert plain[3] == 0


@pytest.mark.parametrize("where", ["labelled", "unlabelled", "mixed"])
def test_smoothing_acts_where_it_is_asked_to(where: str) -> None:
    model, given = network(), inputs()
    off = [f"smoothing.{x}=false" for x in ("labelled", "unlabelled", "mixed") if x != where]
    terms = learn(model, given, MIXED, "label_smoothing=0.1", *off)
    plain, smoothed = expected_terms(model, given), expected_terms(model, given, 0.1)
    expected = [s if name == where else p for name, p, s in zip(("labelled", "unlabelled", "mixed"), plain, smoothed)]  # noqa: B905
    torch.testing.assert_close(terms[1:4], torch.stack(expected))


def test_only_the_objective_trains_and_the_weak_views_do_not() -> None:
    model, given = network(), inputs()
    other = replace(given, views=given.views._replace(weak=torch.zeros_like(given.views.weak)))
    losses = [learn(model, views, None)[0] for views in (given, other)]
    assert losses[0] == losses[1]
    losses[0].backward()
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)


class Fixed:
    """An algorithm that counts how often it is asked."""

    uses_unlabelled = True

    def __init__(self) -> None:
        self.seen: list[torch.Tensor] = []

    def pseudo_label(self, logits: torch.Tensor, rows: torch.Tensor) -> PseudoLabels:
        self.seen.append(logits)
        return PSEUDO

    def state(self) -> dict:
        return {}


def joint(model: torch.nn.Module, *sets: str) -> tuple[torch.Tensor, Observed, Fixed]:
    algorithm, given = Fixed(), inputs()
    passes = Joint(model, algorithm, problem("forward=joint", *sets).config.mixing, objective("forward=joint", *sets))
    seen = passes.observe(given)
    return passes.learn(given, seen, PSEUDO, MIXED), seen, algorithm


def test_joint_equals_split_where_images_do_not_touch() -> None:
    """With group norm the grouping of passes changes nothing; the base loss counts twice by option only."""
    model, given = network(), inputs()
    labelled, unlabelled, mix = expected_terms(model, given)
    once = torch.stack([labelled + unlabelled + mix, labelled, unlabelled, mix, PSEUDO.weight.mean()])
    for second_pass in ("joint", "alone"):
        terms, seen, algorithm = joint(model, f"mixing.second_pass={second_pass}")
        torch.testing.assert_close(terms, once)
        assert not seen.unlabelled_logits.requires_grad
        assert algorithm.seen == []
    terms, seen, algorithm = joint(model, "mixing.double_base=true", "mixing.weight=2")
    torch.testing.assert_close(terms[0], 2 * (labelled + unlabelled) + 2 * mix)
    torch.testing.assert_close(algorithm.seen[0], seen.unlabelled_logits)


def test_a_joint_batch_norm_sees_all_three_views() -> None:
    model, given = network("batch"), inputs()
    whole = numerics().normalise(torch.cat(list(given.views)))
    logits, _ = models_copy(model)(whole)
    _, seen, _ = joint(model)
    torch.testing.assert_close(seen.unlabelled_logits, logits[NUM : NUM + UNLABELLED].detach())


def models_copy(model: torch.nn.Module) -> torch.nn.Module:
    other = network("batch")
    other.load_state_dict(model.state_dict())
    return other


def test_second_pass_may_leave_running_statistics_alone() -> None:
    moved, kept = network("batch"), network("batch")
    joint(moved)
    joint(kept, "mixing.update_bn=false")
    first_pass = network("batch")
    first_pass(numerics().normalise(torch.cat(list(inputs().views))))
    torch.testing.assert_close(kept.norm.running_mean, first_pass.norm.running_mean)
    assert not torch.allclose(moved.norm.running_mean, kept.norm.running_mean)
    with frozen_statistics(kept, freeze=True):
        assert kept.norm.momentum == 0
    assert kept.norm.momentum == 0.5


def test_slots_name_the_global_labelled_batch() -> None:
    def put(ranks) -> Inputs:  # type: ignore[no-untyped-def]
        host = replace(batch(ranks)[0].host, labelled_index=np.array([7, 3, 7, 9]), views=Views(*[torch.zeros(4)] * 3))
        return to_device(host, np.array([3, 5, 7, 9]), torch.tensor([0, 1, 2, 0]), np.arange(12), ranks)

    made = alone(put)
    assert made.global_slots.tolist() == [2, 0, 2, 3]
    assert made.labels.tolist() == [2, 0, 2, 0]
    assert config.load(None, ["dataset=x"]).forward == "split"
