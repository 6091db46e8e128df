"""From pairs to mixed images: which images can be mixed, and the group of this rank's stretch of the pairs.

What is paired is decided on the global batch (mixes/), so it does not depend on the number of ranks.
"""

from functools import cached_property, partial

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from pipeline.config import Config
from pipeline.distributed import Ranks, all_gather, broadcast, gather_columns, own_group, reduce_scatter
from pipeline.methods.hidden_mixing import Partners, mixed_rows
from pipeline.methods.losses import LOSSES, mixed_targets, nearer_label
from pipeline.methods.objective import smoothed
from pipeline.methods.step_types import Change, Group, Inputs, Loss, Observed, Pairs, PseudoLabels
from pipeline.models.numerics import Numerics


class Mixing:
    """What stays the same from step to step; ``split_labels`` [labelled samples] int64: of the whole split."""

    def __init__(
        self, config: Config, num_classes: int, split_labels: Tensor, ranks: Ranks, numerics: Numerics
    ) -> None:
        self.options, self.num_classes, self.split_labels = config.mixing, num_classes, split_labels
        self.ranks, self.numerics = ranks, numerics
        self.loss = smoothed(LOSSES[config.mixing.loss], config, config.smoothing.mixed, num_classes)
        shared = any(config.layers) and config.mixing.scope == "global" and ranks.world > 1
        self.exchange = own_group() if shared else ""
        self.mixed_target = partial(mixed_targets, num_classes=num_classes)

    def pool(self, inputs: Inputs, observed: Observed, pseudo: PseudoLabels) -> "MixingPool":
        """The images of a step that can be mixed."""
        return MixingPool(self, inputs, observed, pseudo)


class MixingPool:
    """The images that can be mixed, [labelled, unlabelled]: of all ranks, or (``mixing.scope: local``) of this one.

    Positions count through the labelled images of all ranks in rank order, then through the unlabelled.
    """

    def __init__(self, mixing: Mixing, inputs: Inputs, observed: Observed, pseudo: PseudoLabels) -> None:
        ranks, local = mixing.ranks, mixing.options.scope == "local"
        self.mixing, self.inputs, self.observed, self.pseudo = mixing, inputs, observed, pseudo
        self.step, self.device = inputs.step, ranks.device
        self.world, self.rank = (1, 0) if local else (ranks.world, ranks.rank)
        self.number = ranks.rank if local else 0  # which pool this is: each draws for itself
        num = len(inputs.labelled.weak)
        mine = slice(ranks.rank * num, (ranks.rank + 1) * num) if local else slice(None)
        self.labelled_rows = inputs.labelled.rows[mine]
        self.labelled_index, self.labelled_visit = inputs.labelled.index[mine], inputs.labelled.visit[mine]
        self.num_labelled, self.num_unlabelled = num * self.world, len(inputs.unlabelled.rows) * self.world

    @cached_property
    def images(self) -> Tensor:
        """This rank's: uint8 [b_l + b_u, 3, S, S]."""
        return torch.cat([self.inputs.labelled.weak, getattr(self.inputs.unlabelled, self.mixing.options.views)])

    def gather(self, *columns: Tensor) -> list[Tensor]:
        """Rows of the pool's ranks for several arrays of one length, as distributed.gather_columns."""
        return gather_columns(*columns) if self.world > 1 and len(columns[0]) else list(columns)

    def tensor(self, values: NDArray[np.float64]) -> Tensor:
        """Numbers drawn on the host, on the device."""
        return torch.from_numpy(values).to(self.device, self.mixing.numerics.dtype, non_blocking=True)

    def vectors(self) -> tuple[Tensor, Tensor]:
        """What similarity is measured on: [L, D], [U, D] of the pool (``mixing.similarity``)."""
        kind = self.mixing.options.similarity
        if kind == "pixel":
            whole = [all_gather(x) if self.world > 1 else x for x in self.images.split(self._sizes())]
            return self._flat(whole[0]), self._flat(whole[1])
        name = {"feature": "features", "logit": "logits"}[kind]
        labelled, unlabelled = (getattr(part, name) for part in (self.observed.labelled, self.observed.unlabelled))
        return self.gather(labelled)[0], self.gather(unlabelled)[0]

    def fetch(self, members: Tensor) -> Tensor:
        """Images of this rank's equal stretch of ``members`` [K] (positions) -> uint8 [K / W, 3, S, S].

        Each rank fills in the rows that it owns; one reduce-scatter of bytes adds the others' zeros and hands out.
        """
        num_labelled, num_unlabelled = self._sizes()
        beyond = members - self.num_labelled
        labelled = beyond < 0
        owner = torch.where(labelled, members // num_labelled, beyond // max(num_unlabelled, 1))
        local = torch.where(labelled, members % num_labelled, num_labelled + beyond % max(num_unlabelled, 1))
        rows = self.images[local]
        if self.world == 1:
            return rows
        rows = rows * (owner == self.rank).to(torch.uint8).reshape(-1, 1, 1, 1)
        return reduce_scatter(rows.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)  # channels_last stays so

    def mixed_group(self, pairs: Pairs, loss: Loss | None = None, layer: int = 0) -> Group:
        """Images and targets of this rank's equal stretch of ``pairs``, as a group of the term "mix".

        Pseudo-labels are hard and mix whatever their weight, as in Algorithm 1; ``mixing.min_confidence`` filters them
        and ``mixing.trust`` weights them.
        ``loss``: None is that of ``mixing.loss``. ``layer``: mixed after that stage of the network; the pairs are then
        each labelled image of the pool, in order, with its place in a permutation of them.
        """
        count, padded = len(pairs.lam), _padded(self._agreed(pairs), self.world)
        each = len(padded.lam) // self.world
        mine = slice(self.rank * each, (self.rank + 1) * each)
        labels, trust = self._labels()
        first, second, lam = padded.first[mine], padded.second[mine], padded.lam[mine]
        target = nearer_label if self.mixing.options.targets == "nearer" else self.mixing.mixed_target
        real = torch.arange(len(padded.lam), device=lam.device)[mine] < count
        return Group(
            "mix",
            self.inputs.labelled.weak if layer else self._mixed_images(padded),
            target(labels[first], labels[second], lam),
            loss or self.mixing.loss,
            count * self.mixing.ranks.world // self.world,
            self.mixing.options.weight,
            (real * trust[first] * trust[second]).to(lam.dtype),
            (layer, self._change(padded, mine)) if layer else None,
        )

    def _change(self, pairs: Pairs, mine: slice) -> Change:
        """Mixes activations of this rank's labelled images as ``pairs`` say."""
        partners = Partners(pairs.second[mine], pairs.second.argsort()[mine], self.mixing.exchange, self.world)
        return partial(mixed_rows, share=pairs.lam[mine], partners=partners)

    def _labels(self) -> tuple[Tensor, Tensor]:
        """([P] int64 labels and pseudo-labels of the pool, [P] in [0, 1] how much a pair with each counts)."""
        options, confidence = self.mixing.options, self.observed.unlabelled.logits.softmax(dim=1).amax(dim=1)
        pseudo_label, confidence = self.gather(self.pseudo.label, confidence)
        labels = torch.cat([self.mixing.split_labels[self.labelled_rows], pseudo_label])
        trust = torch.cat([confidence.new_ones(self.num_labelled), confidence])
        sure = (trust >= options.min_confidence).to(trust.dtype)
        return labels, sure * trust if options.trust == "confidence" else sure

    def _agreed(self, pairs: Pairs) -> Pairs:
        """``pairs`` of the pool's first rank: GPUs of other models round similarities otherwise, and a tie would flip.

        Members that ranks disagree about would be fetched as black images. Positions travel as lam's type, exact below
        2^24 (float32).
        """
        if self.world == 1:
            return pairs
        together = broadcast(torch.stack([x.to(pairs.lam.dtype) for x in (pairs.first, pairs.second, pairs.lam)]))
        first, second = together[:2].long()
        return Pairs(first, second, together[2])

    def _mixed_images(self, padded: Pairs) -> Tensor:
        """[m, 3, S, S] normalised, of this rank's stretch."""
        each = len(padded.lam) // self.world
        members = torch.stack([padded.first, padded.second], dim=1).flatten()
        one, other = self.mixing.numerics.normalise(self.fetch(members)).unflatten(0, (each, 2)).unbind(1)
        share = padded.lam[self.rank * each : (self.rank + 1) * each].reshape(-1, 1, 1, 1)
        return share * one + (1 - share) * other

    def _sizes(self) -> tuple[int, int]:
        return self.num_labelled // self.world, self.num_unlabelled // self.world

    def _flat(self, images: Tensor) -> Tensor:
        return self.mixing.numerics.normalise(images).flatten(1)


def _padded(pairs: Pairs, world: int) -> Pairs:
    """``pairs`` made up to a multiple of the ranks by pairs that will not count."""
    missing = -len(pairs.lam) % world
    return Pairs(*(F.pad(x, (0, missing)) for x in (pairs.first, pairs.second, pairs.lam)))
