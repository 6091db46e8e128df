"""Mixing on top of a base algorithm: tracks difficulty, chooses pairs, makes the mixed images.

CalibrateMix (Algorithm 1): easy labelled images with hard, dissimilar pseudo-labelled ones and hard labelled with
easy. Decided on the global batch, so it does not depend on the number of ranks.
"""

from collections.abc import Callable
from typing import Protocol

import numpy as np
import torch
from scipy.special import betaincinv
from torch import Tensor

from pipeline.config import Config
from pipeline.data import Batch
from pipeline.distributed import Ranks, gather_columns, reduce_scatter
from pipeline.losses import mixed_targets
from pipeline.margins import ApmTable, AumTable, all_margins, label_margins
from pipeline.pairing import Pairs, calibratemix_pairs
from pipeline.pseudo_labels import Problem, PseudoLabels, State
from pipeline.randomness import LAMBDA, PARTNER, uniforms
from pipeline.step import Inputs, Mixed, Numerics, Observed


class Mixing(Protocol):
    """``track`` sees every step, ``mix`` the steps after the warm-up."""

    def track(self, inputs: Inputs, seen: Observed) -> None:
        """Updates what is remembered of each sample."""

    def mix(self, inputs: Inputs, seen: Observed, pseudo: PseudoLabels) -> Mixed | None:
        """This rank's mixed images, or None."""

    def state(self) -> State:
        """Tensors to save, by reference."""
        ...


class NoMixing:
    """The base algorithm alone."""

    def __init__(self, problem: Problem, labels: Tensor, repeats: int, numerics: Numerics, ranks: Ranks) -> None:
        """Needs nothing."""

    def track(self, inputs: Inputs, seen: Observed) -> None:
        """Nothing to remember."""

    def mix(self, inputs: Inputs, seen: Observed, pseudo: PseudoLabels) -> Mixed | None:
        """Nothing to mix."""
        return None

    def state(self) -> State:
        """Nothing to save."""
        return {"replicated": {}, "sharded": {}}


class CalibrateMix:
    """``labels``: of the split, int64 on the device. ``repeats``: as ApmTable."""

    def __init__(self, problem: Problem, labels: Tensor, repeats: int, numerics: Numerics, ranks: Ranks) -> None:
        self.config, self.labels, self.numerics, self.ranks = problem.config, labels, numerics, ranks
        self.num_classes = problem.num_classes
        self.aum = AumTable(len(labels), labels.device)
        self.apm = ApmTable(problem.num_rows, problem.num_classes, repeats, problem.dtype, problem.device)

    @torch.no_grad()
    def track(self, inputs: Inputs, seen: Observed) -> None:
        """One visit of AUM for each labelled and of APM for each unlabelled image (Eqs. 2-5)."""
        margins = label_margins(seen.labelled_logits, inputs.labels)
        self.aum.update(inputs.global_slots, gather_columns(margins)[0])
        self.apm.update(inputs.rows, all_margins(seen.unlabelled_logits))

    @torch.no_grad()
    def mix(self, inputs: Inputs, seen: Observed, pseudo: PseudoLabels) -> Mixed | None:
        """One mixed image per labelled image (Eqs. 6-9); this rank makes those of its own labelled images."""
        apm = self.apm.values(inputs.rows, pseudo.label)
        apm, guess, unlabelled_features = gather_columns(apm, pseudo.label, seen.unlabelled_features)
        (labelled_features,) = gather_columns(seen.labelled_features)
        draws = torch.from_numpy(pair_draws(self.config, inputs.host)).to(self.numerics.dtype)
        pairs = calibratemix_pairs(
            self.aum.values(inputs.global_slots),
            apm,
            labelled_features,
            unlabelled_features,
            self.config.mixing.k_percent,
            *draws.to(apm.device, non_blocking=True),
        )
        pool_labels = torch.cat([self.labels[inputs.global_slots], guess])
        return mix_pairs(inputs, pairs, pool_labels, self.num_classes, self.numerics, self.ranks)

    def state(self) -> State:
        """AUM is the same on every rank, APM is sharded."""
        return {"replicated": self.aum.state(), "sharded": self.apm.state()}


def pair_draws(config: Config, batch: Batch) -> np.ndarray:
    """[3, L] float64: partner uniform, lambda where the labelled image is easy, lambda where it is hard.

    A function of (seed, visit, index) of the labelled images, or of (seed, step) for one lambda per direction.
    """
    index, visit = batch.labelled_index, batch.labelled_visit
    partner = uniforms(config.seed, PARTNER, visit, index)
    if config.mixing.lambda_per == "pair":
        easy = hard = uniforms(config.seed, LAMBDA, visit, index)
    else:
        step, directions = np.full(2, batch.step), np.arange(2)
        if config.mixing.lambda_per == "step":
            directions = np.zeros_like(directions)
        easy, hard = uniforms(config.seed, LAMBDA, step, directions)[:, None]
    alpha = config.mixing.alpha
    lam = [betaincinv(alpha, alpha, u) for u in (easy, hard)]
    return np.stack(np.broadcast_arrays(partner, *lam))


def mix_pairs(
    inputs: Inputs, pairs: Pairs, pool_labels: Tensor, num_classes: int, numerics: Numerics, ranks: Ranks
) -> Mixed:
    """The images and targets of this rank's equal stretch of ``pairs`` (a global list of M).

    ``pool_labels`` [L + U] int64: labels of the global labelled, pseudo-labels of the global unlabelled batch.
    """
    each = len(pairs.lam) // ranks.world
    mine = slice(ranks.rank * each, (ranks.rank + 1) * each)
    members = torch.stack([pairs.first, pairs.second], dim=1)
    images = numerics.normalise(fetch_members(inputs, members.flatten(), ranks))
    first, second = images.unflatten(0, (each, 2)).unbind(1)
    lam = pairs.lam[mine]
    weight = lam.reshape(-1, 1, 1, 1)
    targets = mixed_targets(pool_labels[pairs.first[mine]], pool_labels[pairs.second[mine]], lam, num_classes)
    return Mixed(weight * first + (1 - weight) * second, targets)


def fetch_members(inputs: Inputs, members: Tensor, ranks: Ranks) -> Tensor:
    """Images of this rank's equal stretch of ``members`` [K] (pool positions) -> uint8 [K / W, 3, S, S].

    Each rank fills in the rows that it owns; one reduce-scatter of bytes adds the others' zeros and hands out.
    """
    num_labelled, num_unlabelled = len(inputs.labels), len(inputs.rows)
    place = members - num_labelled * ranks.world
    labelled = place < 0
    owner = torch.where(labelled, members // num_labelled, place // num_unlabelled)
    local = torch.where(labelled, members % num_labelled, num_labelled + place % num_unlabelled)
    pool = torch.cat([inputs.views.labelled, inputs.views.weak])
    return reduce_scatter(pool[local] * (owner == ranks.rank).to(torch.uint8).reshape(-1, 1, 1, 1))


MIXINGS: dict[str, Callable[[Problem, Tensor, int, Numerics, Ranks], Mixing]] = {
    "none": NoMixing,
    "calibratemix": CalibrateMix,
}
