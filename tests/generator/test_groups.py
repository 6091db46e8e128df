"""Which groups there are: balanced over pairs, one noise each, conditions from class to class."""

import itertools
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipeline.generator.denoiser import Denoiser
from pipeline.generator.groups import Generation, Plan, number_of_groups
from pipeline.generator.sampler import Sampler
from tests.support.generator_oracle import fill
from tests.support.generators import TINY

PLAN = Plan(classes=4, groups=20, places=8, seed=3, side=32, micro_batch=3)


def test_places_go_from_the_second_class_of_a_pair_to_the_first() -> None:
    """Pairs in lexicographic order: group 8 is the second one of pair 2, classes 0 and 3."""
    conditions = PLAN.conditions(np.array([8]))[0]
    assert conditions[0].tolist() == [0, 0, 0, 1] and conditions[7].tolist() == [1, 0, 0, 0]
    torch.testing.assert_close(conditions[3], torch.tensor([3 / 7, 0, 0, 4 / 7]))
    pairs = list(itertools.combinations(range(4), 2))
    for group, condition in enumerate(PLAN.conditions(np.arange(20))):
        a, b = pairs[group % 6]
        assert condition[7, a] == condition[0, b] == 1 and (condition.sum(dim=1) == 1).all()


def test_noise_is_a_function_of_seed_pair_and_number() -> None:
    one, all_of_them = PLAN.noise(np.array([8]), 8), PLAN.noise(np.arange(20), 8)
    assert torch.equal(one[0], all_of_them[8])
    assert len({tuple(noise.flatten()[:3].tolist()) for noise in all_of_them}) == 20
    assert torch.equal(Plan(4, 9, 2, 3, 16, 1).noise(np.array([8]), 8), one)
    assert not torch.equal(Plan(4, 20, 8, 4, 32, 3).noise(np.array([8]), 8), one)
    drawn = Plan(4, 20, 8, 0, 32, 3).noise(np.arange(200), 16)
    assert abs(drawn.mean()) < 0.01 and abs(drawn.std() - 1) < 0.01 and abs((drawn**4).mean() - 3) < 0.05


@given(st.integers(2, 12), st.integers(1, 300), st.integers(1, 70))
def test_shards_and_micro_batches_are_all_groups_once(classes: int, groups: int, micro_batch: int) -> None:
    plan = Plan(classes, groups, 8, 0, 32, micro_batch)
    assert [g for shard in range(plan.shards) for g in plan.groups_of(shard)] == list(range(groups))
    cut = [batch for shard in range(plan.shards) for batch in plan.micro_batches(shard)]
    assert [g for batch in cut for g in batch] == list(range(groups))
    assert all(batch[0] % micro_batch == 0 and len(batch) <= micro_batch for batch in cut)


@given(st.integers(2, 30), st.integers(1, 10**6))
def test_equal_to_is_met_to_half_a_group(classes: int, images: int) -> None:
    assert abs(8 * number_of_groups(classes, 8, None, images) - images) <= max(4, 8 - images)
    assert number_of_groups(10, 8, 444, None) * 8 == 159_840


def test_another_micro_batch_moves_next_to_nothing() -> None:
    network = Denoiser(TINY).eval()
    fill(network)
    made = [
        Generation(Plan(10, 24, 8, 0, 32, size), network, Sampler(4), torch.device("cpu"), nullcontext).shard(0)
        for size in (24, 5)
    ]
    assert made[0].shape == (24, 8, 32, 32, 3)
    difference = np.abs(made[0].astype(int) - made[1].astype(int))
    assert difference.max() <= 1 and (difference > 0).mean() <= 1e-3


@pytest.mark.parametrize("place", [0, 7])
def test_an_end_is_what_its_class_alone_gives(place: int) -> None:
    network = Denoiser(TINY).eval()
    fill(network)
    generation = Generation(Plan(10, 3, 8, 0, 8, 3), network, Sampler(3), torch.device("cpu"), nullcontext)
    wide = generation.images(np.arange(3))
    narrow = Generation(Plan(10, 3, 2, 0, 8, 3), network, Sampler(3), torch.device("cpu"), nullcontext)
    difference = np.abs(wide[:, place].astype(int) - narrow.images(np.arange(3))[:, min(place, 1)].astype(int))
    assert difference.max() <= 1
