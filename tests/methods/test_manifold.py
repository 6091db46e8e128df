"""Manifold mixup: activations against a loop over images, where gradients go, the layer of a step, what is refused."""

from typing import Any

import pytest
import torch
from torch import Tensor

from pipeline import config, models
from pipeline.config.sections import ModelConfig
from pipeline.distributed import Ranks
from pipeline.methods.mixes.manifold import ManifoldMixup
from pipeline.methods.mixes.mixup import Mixup
from pipeline.methods.step_types import Group
from tests.support.problems import CLASSES, LABELLED, context, mixing_pool, numerics
from tests.support.ranks import alone, on_ranks

SUPERVISED, MANIFOLD = "algorithm=supervised", "mix=manifold"
HIDDEN = (SUPERVISED, MANIFOLD, "mixing.layers=1")
SHAPE = LABELLED, 2, 3, 3


def group_of(ranks: Ranks, mix: Any, step: int, *sets: str) -> Group:
    pool = mixing_pool(ranks, *sets, step=step, unlabelled=0)
    groups: list[Group] = mix(context(*sets, rows=0)).groups([], pool)
    return groups[0]


def activations() -> tuple[Tensor, Tensor]:
    """Of the global batch, and the gradient that arrives at their mixture."""
    random = torch.Generator().manual_seed(7)
    one, other = (torch.randn(SHAPE, dtype=torch.float64, generator=random) for _ in range(2))
    return one.contiguous(memory_format=torch.channels_last), other


def mixed(ranks: Ranks, *sets: str) -> tuple[Tensor, Tensor, Tensor]:
    """(this rank's mixed activations, the gradient at its own activations, its targets) in step 5."""
    group = group_of(ranks, ManifoldMixup, 5, *HIDDEN, *sets)
    assert group.hidden is not None and group.hidden[0] == 1
    mine = slice(ranks.rank * LABELLED // ranks.world, (ranks.rank + 1) * LABELLED // ranks.world)
    own, grad = (x[mine] for x in activations())
    own = own.clone().requires_grad_()
    rows = group.hidden[1](own)
    assert rows.is_contiguous(memory_format=torch.channels_last)
    rows.backward(grad)
    assert own.grad is not None
    return rows.detach(), own.grad, group.targets


def by_loop(ranks: Ranks, *sets: str) -> tuple[Tensor, Tensor]:
    """Image by image: each mixture, and what each image's activations get from the two that they are part of."""
    pairs = Mixup(context(*HIDDEN, *sets, rows=0)).pair(mixing_pool(ranks, *HIDDEN, *sets, unlabelled=0))
    own, grad = activations()
    rows, gradients = torch.zeros(SHAPE, dtype=torch.float64), torch.zeros(SHAPE, dtype=torch.float64)
    for i, (j, share) in enumerate(zip(pairs.second.tolist(), pairs.lam.tolist(), strict=True)):
        rows[i] = share * own[i] + (1 - share) * own[j]
        gradients[i] += share * grad[i]
        gradients[j] += (1 - share) * grad[i]
    return rows, gradients


@pytest.mark.parametrize("per", ["step", "pair"])
def test_activations_and_their_gradients_are_those_of_the_loop(per: str) -> None:
    rows, gradients, _ = alone(mixed, f"mixing.lambda_per={per}")
    torch.testing.assert_close((rows, gradients), alone(by_loop, f"mixing.lambda_per={per}"), rtol=1e-15, atol=1e-15)


@pytest.mark.xdist_group("ranks")
@pytest.mark.parametrize("world", [2, 4])
def test_partners_on_other_ranks_are_the_same_to_the_last_bit(world: int) -> None:
    parts = on_ranks(world, mixed)
    for found, expected in zip(zip(*parts, strict=True), alone(mixed), strict=True):
        assert torch.equal(torch.cat(found), expected)


@pytest.mark.xdist_group("ranks")
def test_a_rank_may_mix_within_its_own() -> None:
    """Nothing is exchanged then: what rank 1 does is what it would do with the other's images away."""
    for rank, (rows, _, _) in enumerate(on_ranks(2, mixed, "mixing.scope=local")):
        own = activations()[0][2 * rank : 2 * rank + 2]
        shares = (rows - own.flip(0)) / (own - own.flip(0))
        assert torch.allclose(rows, own) or torch.allclose(shares, shares.flatten()[0])


def test_at_layer_0_it_is_mixup_to_the_last_bit() -> None:
    """Then there is nothing hidden: the very same group."""
    sets = SUPERVISED, "loss.name=focal"
    for step in range(3):
        one = alone(group_of, Mixup, step, *sets, "mix=mixup")
        other = alone(group_of, ManifoldMixup, step, *sets, MANIFOLD, "mixing.layers=0")
        assert torch.equal(one.images, other.images) and torch.equal(one.targets, other.targets)
        assert one.hidden is other.hidden is None and str(one.loss) == str(other.loss)


def test_targets_and_loss_of_hidden_layers_are_mixups() -> None:
    for targets in ("mixed", "nearer"):
        one = alone(group_of, Mixup, 5, SUPERVISED, f"mixing.targets={targets}")
        other = alone(group_of, ManifoldMixup, 5, *HIDDEN, f"mixing.targets={targets}")
        assert torch.equal(one.targets, other.targets)
        assert (other.count, other.weight) == (LABELLED, 1.0)


def test_each_step_draws_one_of_the_layers() -> None:
    for layers in ("0 1 2", "1 2", "2"):
        mix = ManifoldMixup(context(SUPERVISED, MANIFOLD, f"mixing.layers={layers}", rows=0))
        drawn = [mix.layer(step) for step in range(300)]
        wanted = [int(layer) for layer in layers.split()]
        assert all(abs(drawn.count(layer) - 300 / len(wanted)) < 33 for layer in wanted), layers  # four sigma
        assert len(drawn) == sum(map(drawn.count, wanted))


@pytest.mark.parametrize("precision", ["bf16", "fp32"])
def test_numbers_keep_their_format(precision: str) -> None:
    """Half precision goes on in half precision, though lambda has more digits."""
    group = alone(group_of, ManifoldMixup, 5, *HIDDEN)
    model, seen = models.build(ModelConfig(name="wrn-10-1"), CLASSES, 0), []
    model.blocks[1].register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
        logits, _ = model(numerics().normalise(group.images).float(), *group.hidden)
    assert seen[0].dtype == (torch.bfloat16 if precision == "bf16" else torch.float32)
    assert logits.shape == (LABELLED, CLASSES)


@pytest.mark.parametrize(
    ("sets", "named"),
    [
        (["algorithm=fixmatch", MANIFOLD], "algorithm=supervised"),
        ([SUPERVISED, MANIFOLD, "loss.name=mmce"], "mixing.targets=nearer"),
        ([SUPERVISED, MANIFOLD, "mixing.layers=1 3"], "mixing.layers='1 3': write some of 0, 1, 2"),
        ([SUPERVISED, MANIFOLD, "mixing.layers=''"], "mixing.layers=''"),
    ],
)
def test_what_means_nothing_is_refused(sets: list[str], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        config.load(None, ["dataset=x", *sets])
