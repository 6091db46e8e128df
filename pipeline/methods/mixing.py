"""From pairs to mixed images: who can be mixed, and the images and targets of this rank's stretch of the pairs.

What is paired is decided on the global batch (mixes/), so it does not depend on the number of ranks.
"""

from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from pipeline.distributed import Ranks, all_gather, gather_columns, reduce_scatter
from pipeline.methods.losses import mixed_targets
from pipeline.methods.pairing import Pairs
from pipeline.methods.protocols import PseudoLabels
from pipeline.models.numerics import Numerics
from pipeline.training.step import Inputs, Mixed, Observed

if TYPE_CHECKING:
    from pipeline.config.options import MixingConfig


class Pool:
    """The images that can be mixed, [labelled, unlabelled]: of all ranks, or (``mixing.scope: local``) of this one.

    Positions count through the labelled images of all ranks in rank order, then through the unlabelled.
    """

    def __init__(self, inputs: Inputs, options: "MixingConfig", ranks: Ranks, numerics: Numerics) -> None:
        local = options.scope == "local"
        self.inputs, self.options, self.numerics, self.device = inputs, options, numerics, ranks.device
        self.world, self.rank = (1, 0) if local else (ranks.world, ranks.rank)
        self.number = ranks.rank if local else 0  # which pool this is: each draws for itself
        num = len(inputs.labels)
        mine = slice(ranks.rank * num, (ranks.rank + 1) * num) if local else slice(None)
        self.slots = inputs.global_slots[mine]
        self.labelled_index, self.labelled_visit = inputs.host.labelled_index[mine], inputs.host.labelled_visit[mine]
        self.step = inputs.step
        self.num_labelled, self.num_unlabelled = num * self.world, len(inputs.rows) * self.world
        self.images = torch.cat([inputs.views.labelled, getattr(inputs.views, options.views)])

    def gather(self, *columns: Tensor) -> list[Tensor]:
        """Rows of the pool's ranks for several arrays of one length, as distributed.gather_columns."""
        return gather_columns(*columns) if self.world > 1 and len(columns[0]) else list(columns)

    def tensor(self, values: NDArray[np.float64]) -> Tensor:
        """Numbers drawn on the host, on the device."""
        return torch.from_numpy(values).to(self.device, self.numerics.dtype, non_blocking=True)

    def vectors(self, seen: Observed) -> tuple[Tensor, Tensor]:
        """What similarity is measured on: [L, D], [U, D] of the pool (``mixing.similarity``)."""
        if self.options.similarity == "pixel":
            whole = [all_gather(x) if self.world > 1 else x for x in self.images.split(self._sizes())]
            return self._flat(whole[0]), self._flat(whole[1])
        kind = {"feature": "features", "logit": "logits"}[self.options.similarity]
        labelled, unlabelled = (getattr(seen, f"{who}_{kind}") for who in ("labelled", "unlabelled"))
        return self.gather(labelled)[0], self.gather(unlabelled)[0]

    def fetch(self, members: Tensor) -> Tensor:
        """Images of this rank's equal stretch of ``members`` [K] (positions) -> uint8 [K / W, 3, S, S].

        Each rank fills in the rows that it owns; one reduce-scatter of bytes adds the others' zeros and hands out.
        """
        num_labelled, num_unlabelled = self._sizes()
        place = members - self.num_labelled
        labelled = place < 0
        owner = torch.where(labelled, members // num_labelled, place // max(num_unlabelled, 1))
        local = torch.where(labelled, members % num_labelled, num_labelled + place % max(num_unlabelled, 1))
        rows = self.images[local]
        if self.world == 1:
            return rows
        return reduce_scatter(rows * (owner == self.rank).to(torch.uint8).reshape(-1, 1, 1, 1))

    def _sizes(self) -> tuple[int, int]:
        return self.num_labelled // self.world, self.num_unlabelled // self.world

    def _flat(self, images: Tensor) -> Tensor:
        return self.numerics.normalise(images).flatten(1)


def mix_images(
    pairs: Pairs | None, pool: Pool, seen: Observed, pseudo: PseudoLabels, split_labels: Tensor, num_classes: int
) -> Mixed | None:
    """Images and targets of this rank's equal stretch of ``pairs`` (``split_labels`` int64: of the whole split).

    Pseudo-labels are hard and mix whatever their weight, as in Algorithm 1; ``mixing.min_confidence`` filters them.
    """
    if pairs is None:
        return None
    count = len(pairs.lam)
    padded = _padded(pairs, pool.world)
    each = len(padded.lam) // pool.world
    mine = slice(pool.rank * each, (pool.rank + 1) * each)
    confidence = seen.unlabelled_logits.softmax(dim=1).amax(dim=1)
    guess, confidence = pool.gather(pseudo.label, confidence)
    labels = torch.cat([split_labels[pool.slots], guess])
    sure = torch.cat([confidence.new_ones(pool.num_labelled), confidence]) >= pool.options.min_confidence

    images = pool.numerics.normalise(pool.fetch(torch.stack([padded.first, padded.second], dim=1).flatten()))
    one, other = images.unflatten(0, (each, 2)).unbind(1)
    first, second, lam = padded.first[mine], padded.second[mine], padded.lam[mine]
    share = lam.reshape(-1, 1, 1, 1)
    real = torch.arange(len(padded.lam), device=lam.device)[mine] < count
    return Mixed(
        share * one + (1 - share) * other,
        mixed_targets(labels[first], labels[second], lam, num_classes),
        (real & sure[first] & sure[second]).to(lam.dtype),
        count,
        pool.world,
    )


def _padded(pairs: Pairs, world: int) -> Pairs:
    """``pairs`` made up to a multiple of the ranks by pairs that will not count."""
    missing = -len(pairs.lam) % world
    return Pairs(*(F.pad(x, (0, missing)) for x in (pairs.first, pairs.second, pairs.lam)))
