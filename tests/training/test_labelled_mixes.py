"""Steps of mixup, manifold mixup and generated images on 1, 2 and 4 ranks: the same losses, weights and statistics.

In float64 and few, as in test_rank_invariance.py, but step by step without a loader: images are those of problems.py.
"""

import numpy as np
import pytest
import torch
from torch import Tensor

from pipeline import models
from pipeline.config import Config
from pipeline.data.group_order import GroupOrder
from pipeline.data.streams import VirtualShards, labelled_order
from pipeline.distributed import Ranks, all_reduce_mean
from pipeline.methods.augmented import Augmented
from pipeline.methods.mixes import MIXES
from pipeline.methods.mixing import Mixing
from pipeline.methods.objective import Objective
from pipeline.methods.step_types import Group, Inputs, Part
from pipeline.models.shared_batch_norm import share_statistics
from pipeline.training.data_parallel import data_parallel
from pipeline.training.passes import UnobservedPasses
from tests.support.problems import CLASSES, LABELLED, SIZE, SPLIT_LABELS, batch, context, numerics
from tests.support.ranks import alone, on_ranks
from tests.support.soft_labelled import made_up

STEPS = 4
RUNS = {
    "mixup": ("mix=mixup",),
    "manifold": ("mix=manifold", "seed=4"),
    "generated": ("mix=regmixup", "augmented.dataset=x"),
    "joint": ("mix=mixup", "augmented.dataset=x", "augmented.forward=joint", "augmented.labels=zero_shot"),
}
POOL = torch.randint(0, 256, (16, 3, SIZE, SIZE), dtype=torch.uint8, generator=torch.Generator().manual_seed(5))


def all_runs(ranks: Ranks) -> dict[str, dict[str, Tensor]]:
    return {name: trained(ranks, *sets) for name, sets in RUNS.items()}


class Generated:
    """Generated images for these labelled ones, as their order has them: POOL by groups of four."""

    def __init__(self, config: Config, ranks: Ranks) -> None:
        made = made_up(config, [0, 0, 1, 0], [1, 2, 2, 1], CLASSES)
        split, who = np.arange(len(SPLIT_LABELS)), (config.seed, ranks.rank, ranks.world)
        labelled = labelled_order(split, VirtualShards(5, 1), LABELLED, *who, sharded=False)
        self.order = GroupOrder(labelled, SPLIT_LABELS.numpy(), made.by_class, made.places, 4, config.seed)
        self.augmented = Augmented(config, made, CLASSES, ranks.device, torch.float64)

    def groups(self, inputs: Inputs) -> list[Group]:
        index, visit = (drawn[0] for drawn in self.order.draw(inputs.step, 1))
        rows = torch.from_numpy(index)
        return self.augmented.groups(Inputs(0, {"augmented": Part(POOL[rows], None, None, rows, index, visit)}))


def trained(ranks: Ranks, *sets: str) -> dict[str, Tensor]:
    """The loss of each step, the layers that it mixed at, and the network after the last."""
    made = context("algorithm=supervised", "model.name=wrn-10-1", "model.norm_momentum=0.1", *sets, rows=0)
    config, numbers = made.config, numerics()
    model = models.network(config.model, CLASSES, 0, SIZE, ranks.device, torch.float64)
    ddp = data_parallel(share_statistics(model, ranks.world), SIZE, numbers, ranks)
    mix, mixing = MIXES[config.mix](made), Mixing(config, CLASSES, SPLIT_LABELS, ranks, numbers)
    objective = Objective(config, CLASSES)
    generated = Generated(config, ranks) if config.augmented.dataset else None
    joined = ("augmented",) if config.augmented.forward == "joint" else ()
    passes = UnobservedPasses(ddp, numbers, ranks.world, CLASSES, options=config.mixing, joined=joined)
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], 0.1, momentum=0.9)
    losses, layers = [], []
    for step in range(STEPS):
        inputs, _, pseudo = batch(ranks, step, unlabelled=0)
        observed = passes.observe(inputs)
        groups = mix.groups(objective.groups(inputs, pseudo), mixing.pool(inputs, observed, pseudo))
        more = generated.groups(inputs) if generated else []
        output = passes.learn(inputs, observed, [*groups, *more])
        optimizer.zero_grad()
        output.loss.backward()
        optimizer.step()
        losses.append(all_reduce_mean(output.loss.detach()))
        layers.append(groups[-1].hidden[0] if groups[-1].hidden else 0)
    return {"losses": torch.stack(losses), "layers": torch.tensor(layers), **model.state_dict()}


@pytest.mark.xdist_group("ranks")
def test_the_number_of_ranks_changes_nothing() -> None:
    torch.set_num_threads(1)
    one = alone(all_runs)
    for world in (2, 4):
        for rank in on_ranks(world, all_runs):
            for name, expected in one.items():
                largest = max(float((rank[name][key] - value).abs().max()) for key, value in expected.items())
                assert largest < 1e-9, f"{name}, {world} ranks: {largest}"
    assert len({tuple(one[name]["losses"].tolist()) for name in RUNS}) == len(RUNS)
    assert set(one["manifold"]["layers"].tolist()) == {0, 1, 2}
    assert len(set(one["mixup"]["losses"].tolist())) == STEPS


def test_at_layer_0_training_is_that_of_mixup_to_the_last_bit() -> None:
    torch.set_num_threads(1)
    mixup, manifold = (alone(trained, *sets) for sets in (RUNS["mixup"], ("mix=manifold", "mixing.layers=0")))
    assert all(torch.equal(value, manifold[key]) for key, value in mixup.items())
