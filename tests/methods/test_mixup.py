"""Mixup against a dictionary and a loop over images, features only, RegMixup, and what the network is shown."""

from functools import partial
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from pipeline import config, models
from pipeline.config.sections import ModelConfig
from pipeline.distributed import Ranks
from pipeline.methods.losses import cross_entropy
from pipeline.methods.mixes.mixup import Mixup, RegMixup
from pipeline.methods.objective import Objective
from pipeline.methods.step_types import Group
from pipeline.training.passes import UnobservedPasses
from tests.support.problems import CLASSES, LABELLED, batch, context, mixed_by, mixing_pool, numerics
from tests.support.ranks import alone

SUPERVISED = "algorithm=supervised"
mixed = partial(mixed_by, unlabelled=0)


def by_loop(images: Tensor, labels: Tensor, partner: list[int], lam: list[float]) -> tuple[Tensor, Tensor]:
    """Image by image, its target a dictionary from class to share."""
    targets, mixtures = [], []
    for i, (j, share) in enumerate(zip(partner, lam, strict=True)):
        target = dict.fromkeys(range(CLASSES), 0.0)
        target[int(labels[i])] += share
        target[int(labels[j])] += 1 - share
        targets.append([target[k] for k in range(CLASSES)])
        mixtures.append(share * images[i] + (1 - share) * images[j])
    return torch.stack(mixtures), torch.tensor(targets, dtype=torch.float64)


@given(seed=st.integers(0, 10**6), per=st.sampled_from(["step", "direction", "pair"]), alpha=st.floats(0.1, 10))
def test_images_and_targets_are_those_of_the_loop(seed: int, per: str, alpha: float) -> None:
    pairs, group = alone(mixed, Mixup, SUPERVISED, f"seed={seed}", f"mixing.lambda_per={per}", f"mixing.alpha={alpha}")
    part = alone(batch)[0].labelled
    assert pairs.first.tolist() == list(range(LABELLED)) == sorted(pairs.second.tolist())
    assert len(set(pairs.lam.tolist())) == 1 or per == "pair"
    expected = by_loop(numerics().normalise(part.weak), part.labels, pairs.second.tolist(), pairs.lam.tolist())
    torch.testing.assert_close((group.images, group.targets), expected)
    assert group.count == LABELLED


def test_partners_change_with_the_step_and_the_seed() -> None:
    """Of 4! orders each occurs; lambda's mean over steps is a half."""
    found, lam = set(), []
    for step in range(400):
        pool = alone(partial(mixing_pool, step=step, unlabelled=0), SUPERVISED)
        pairs = Mixup(context(SUPERVISED, rows=0)).pair(pool)
        found.add(tuple(pairs.second.tolist()))
        lam.append(pairs.lam[0].item())
    assert len(found) == 24
    assert abs(sum(lam) / 400 - 0.5) < 0.08  # four sigma of Beta(.4, .4)


def with_shares(ranks: Ranks, *lam: float) -> Group:
    pool = mixing_pool(ranks, SUPERVISED, "mixing.targets=nearer", unlabelled=0)
    mix = Mixup(context(SUPERVISED, rows=0))
    pairs = mix.pair(pool)
    pairs.lam.copy_(torch.tensor(lam, dtype=torch.float64))
    return pool.mixed_group(pairs)


def test_features_only_takes_the_nearer_label_and_the_first_of_equals() -> None:
    pairs, _ = alone(mixed, Mixup, SUPERVISED)
    labels = alone(batch)[0].labelled.labels
    group = alone(with_shares, 0.51, 0.49, 0.5, 0.0)
    wanted = [labels[0], labels[pairs.second[1]], labels[2], labels[pairs.second[3]]]
    assert group.targets.dtype == torch.int64
    assert group.targets.tolist() == [int(label) for label in wanted]


def groups_of(ranks: Ranks, mix: Any, *sets: str) -> list[Group]:
    pool = mixing_pool(ranks, SUPERVISED, *sets, unlabelled=0)
    made = context(SUPERVISED, *sets, rows=0)
    base = Objective(made.config, CLASSES).groups(pool.inputs, pool.pseudo)
    groups: list[Group] = mix(made).groups(base, pool)
    return groups


def test_mixup_stands_in_for_the_clean_images_and_regmixup_beside_them() -> None:
    assert [group.term for group in alone(groups_of, Mixup)] == ["unlabelled", "mix"]
    terms = {group.term: group for group in alone(groups_of, RegMixup, "mixing.weight=0.25")}
    assert set(terms) == {"labelled", "unlabelled", "mix"}
    assert terms["mix"].weight == 0.25


def test_mixed_images_are_learned_under_the_loss_on_labels_where_they_replace_them() -> None:
    logits = torch.randn(LABELLED, CLASSES, dtype=torch.float64)
    mixup = alone(groups_of, Mixup, "loss.name=brier")[-1]
    squares = (logits.softmax(1) - mixup.targets).square().mean(1)
    torch.testing.assert_close(mixup.loss(logits, mixup.targets), squares)
    beside = alone(groups_of, RegMixup, "loss.name=brier")
    torch.testing.assert_close(beside[-1].loss(logits, beside[-1].targets), cross_entropy(logits, beside[-1].targets))
    labels = beside[0].targets
    assert not torch.allclose(beside[0].loss(logits, labels), cross_entropy(logits, labels))


class Counted(nn.Module):
    """A network that remembers how many images each pass had."""

    def __init__(self) -> None:
        super().__init__()
        self.network = models.build(ModelConfig(name="wrn-10-1"), CLASSES, 0).double()
        self.passes: list[int] = []

    def forward(self, images: Tensor) -> Any:
        self.passes.append(len(images))
        return self.network(images)


@pytest.mark.parametrize(
    ("mix", "second_pass", "wanted"), [(Mixup, "alone", [4]), (RegMixup, "alone", [4, 4]), (RegMixup, "joint", [8])]
)
def test_the_network_sees_what_is_learned_and_nothing_else(mix: Any, second_pass: str, wanted: list[int]) -> None:
    """Else the statistics of clean images, and their cost, would be in a mixup that never learns them."""
    sets = (f"mixing.second_pass={second_pass}",)
    groups = alone(groups_of, mix, *sets)
    groups = [group for group in groups if len(group.images)]
    model = Counted()
    passes = UnobservedPasses(model, numerics(), 1, CLASSES, options=context(SUPERVISED, *sets, rows=0).config.mixing)
    inputs = alone(partial(batch, unlabelled=0))[0]
    observed = passes.observe(inputs)
    assert observed.labelled.logits.shape == (LABELLED, CLASSES)
    output = passes.learn(inputs, observed, groups)
    output.loss.backward()
    assert model.passes == wanted
    assert set(output.terms) == {group.term for group in groups}


@pytest.mark.parametrize("update_bn", ["true", "false"])
def test_mixed_images_beside_clean_ones_may_leave_the_statistics_alone(update_bn: str) -> None:
    """RegMixup's second pass with mixing.update_bn=false; mixup's only pass writes them always."""

    def statistics(mix: Any, sets: tuple[str, ...], terms: tuple[str, ...]) -> Tensor:
        groups = [group for group in alone(groups_of, mix, *sets) if group.term in terms and len(group.images)]
        model = Counted()
        options = context(SUPERVISED, *sets, rows=0).config.mixing
        passes = UnobservedPasses(model, numerics(), 1, CLASSES, options=options)
        inputs = alone(partial(batch, unlabelled=0))[0]
        passes.learn(inputs, passes.observe(inputs), groups)
        return torch.cat([value.flatten() for name, value in model.state_dict().items() if "running" in name])

    sets = (f"mixing.update_bn={update_bn}",)
    both, clean = (statistics(RegMixup, sets, terms) for terms in (("labelled", "mix"), ("labelled",)))
    assert torch.equal(both, clean) == (update_bn == "false")
    fresh = torch.cat([v.flatten() for n, v in Counted().state_dict().items() if "running" in n])
    assert not torch.equal(statistics(Mixup, sets, ("mix",)), fresh)


@pytest.mark.parametrize(
    ("sets", "named"),
    [
        (["algorithm=fixmatch", "mix=mixup"], "algorithm=supervised"),
        ([SUPERVISED, "mix=mixup", "loss.name=mmce"], "mixing.targets=nearer"),
        ([SUPERVISED, "mix=regmixup", "mixing.targets=nearer", "mixing.loss=bce"], "mixing.loss=bce"),
    ],
)
def test_what_means_nothing_is_refused(sets: list[str], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        config.load(None, ["dataset=x", *sets])


def test_mixup_begins_at_the_first_step_unless_told_otherwise() -> None:
    assert config.load(None, ["dataset=x", SUPERVISED, "mix=mixup", "steps=1000"]).warmup == 0
    assert config.load(None, ["dataset=x", SUPERVISED, "mix=mixup", "steps=1000", "warmup_steps=7"]).warmup == 7
