"""Groups of images between two classes: one noise, S conditions from class b to class a (CSM, Sec. 3.2).

A group's noise is a function of (seed, pair, number within the pair), and a micro-batch is a stretch of group numbers
that does not depend on ranks, so any number of ranks and any restart give the same images (same machine, precision,
threads and micro-batch).
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dataprep.generated.pairs import class_pairs, even_ratios
from pipeline.generator.denoiser import Denoiser
from pipeline.generator.resolution import enlarge
from pipeline.generator.sampler import Sampler, conditioned, to_pixels
from pipeline.randomness import GROUP, normals

Ints = NDArray[np.int64]
Pixels = NDArray[np.uint8]
IN_A_SHARD = 32  # groups, or a micro-batch where that is more: what a killed rank loses at most


@dataclass(frozen=True, slots=True)
class Plan:
    """Which groups there are and how they are cut. ``side``: pixels of the stored images."""

    classes: int
    groups: int
    places: int
    seed: int
    side: int
    micro_batch: int  # groups

    @property
    def ratios(self) -> list[float]:
        """The share of class a at each place."""
        return even_ratios(self.places)

    @property
    def groups_per_shard(self) -> int:
        """A whole number of micro-batches."""
        return self.micro_batch * -(-IN_A_SHARD // self.micro_batch)

    @property
    def shards(self) -> int:
        return -(-self.groups // self.groups_per_shard)

    def groups_of(self, shard: int) -> range:
        """The group numbers in a shard."""
        first = shard * self.groups_per_shard
        return range(first, min(first + self.groups_per_shard, self.groups))

    def micro_batches(self, shard: int) -> Iterator[Ints]:
        """The group numbers that are sampled at once."""
        groups = self.groups_of(shard)
        for first in range(groups.start, groups.stop, self.micro_batch):
            yield np.arange(first, min(first + self.micro_batch, groups.stop))

    def noise(self, groups: Ints, resolution: int) -> Tensor:
        """Standard normal, float32 [groups, 3, R, R]."""
        number, pair = np.divmod(groups, len(class_pairs(self.classes)))
        drawn = normals(self.seed, GROUP, pair, number, 3 * resolution**2)
        return torch.from_numpy(drawn).view(len(groups), 3, resolution, resolution)

    def conditions(self, groups: Ints) -> Tensor:
        """t e_a + (1 - t) e_b for each place, float32 [groups, S, K]."""
        pairs = class_pairs(self.classes)
        first, second = torch.from_numpy(pairs[groups % len(pairs)]).T
        ends = torch.eye(self.classes)
        share = torch.tensor(self.ratios)[:, None]
        return share * ends[first][:, None] + (1 - share) * ends[second][:, None]


@dataclass(frozen=True, slots=True)
class Generation:
    """A network that makes the groups of a plan, on a device."""

    plan: Plan
    denoiser: Denoiser
    sampler: Sampler
    device: torch.device
    autocast: Callable[[], AbstractContextManager[object]]

    def shard(self, number: int) -> Pixels:
        """Its images, uint8 [groups, S, side, side, 3]."""
        return np.concatenate([self.images(groups) for groups in self.plan.micro_batches(number)])

    def images(self, groups: Ints) -> Pixels:
        """uint8 [groups, S, side, side, 3], all in one batch of the network."""
        plan, resolution = self.plan, self.denoiser.size.resolution
        noise = plan.noise(groups, resolution).to(self.device).repeat_interleave(plan.places, dim=0)
        labels = plan.conditions(groups).flatten(0, 1).to(self.device)
        x = self.sampler.solve(noise, conditioned(self.denoiser, labels, self.sampler.guidance, self.autocast))
        large = enlarge(to_pixels(x).numpy(), plan.side)
        return large.reshape(len(groups), plan.places, plan.side, plan.side, 3)


def number_of_groups(classes: int, places: int, per_pair: int | None, equal_to: int | None) -> int:
    """``per_pair`` groups for each pair of classes, or as many as give about ``equal_to`` images (at least one)."""
    if equal_to is not None:
        return max(1, round(equal_to / places))
    assert per_pair is not None
    return per_pair * classes * (classes - 1) // 2
