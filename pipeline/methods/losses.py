"""Losses by name, one value an image, and what smoothing and the number of ranks make of them.

Each term on a rank is W x (local sum) / (global count): DDP averages gradients over the W ranks, so the
update is that of the global mean whatever the number of ranks.
"""

from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor


def rank_share(per_image: Tensor, global_count: int, world: int) -> Tensor:
    """The rank's part of a global mean: ``per_image`` [b] -> scalar; 0 where there are no images at all."""
    return per_image.sum() * (world / max(global_count, 1))


def effective_epsilon(eps: float, form: str, num_classes: int) -> float:
    """The eps of (1 - eps) y + eps / C that gives ``form``.

    uniform: eps itself (Mueller et al. 2019, the paper). others: the target keeps 1 - eps and each of the C - 1 others
    gets eps / (C - 1), as USB's helper.
    """
    return eps * num_classes / (num_classes - 1) if form == "others" else eps


def cross_entropy(logits: Tensor, targets: Tensor, eps: float = 0.0) -> Tensor:
    """[n, C] and classes [n] int64 or distributions [n, C], smoothed to (1 - eps) y + eps / C -> [n]: -sum y log p."""
    if targets.ndim == 1:
        return F.cross_entropy(logits, targets, reduction="none", label_smoothing=eps)
    return -(smooth(targets, eps) * logits.log_softmax(dim=1)).sum(dim=1)


def binary_cross_entropy(logits: Tensor, targets: Tensor, eps: float = 0.0) -> Tensor:
    """[n, C] and distributions [n, C] -> [n]: one logistic regression a class, averaged over classes (the release).

    Linear in the targets, so mixed targets give lambda BCE(z, a) + (1 - lambda) BCE(z, b).
    """
    return F.binary_cross_entropy_with_logits(logits, smooth(targets, eps), reduction="none").mean(dim=1)


class SmoothedLoss(Protocol):
    """(logits [n, C], targets, eps) -> losses [n]."""

    def __call__(self, logits: Tensor, targets: Tensor, eps: float = 0.0) -> Tensor: ...


LOSSES: dict[str, SmoothedLoss] = {"ce": cross_entropy, "bce": binary_cross_entropy}


def smooth(targets: Tensor, eps: float) -> Tensor:
    """(1 - eps) y + eps / C of target distributions [n, C]."""
    return targets * (1 - eps) + eps / targets.shape[1]


def mixed_targets(first: Tensor, second: Tensor, lam: Tensor, num_classes: int) -> Tensor:
    """lam x onehot(first) + (1 - lam) x onehot(second): labels [M], [M] and ``lam`` [M] -> [M, C]."""
    share = lam[:, None]
    one, other = (one_hot(labels, num_classes) for labels in (first, second))
    return share * one + (1 - share) * other


def one_hot(labels: Tensor, num_classes: int) -> Tensor:
    """[n] int64 -> [n, C] bool; F.one_hot would ask the device for the largest label."""
    return labels[:, None] == torch.arange(num_classes, device=labels.device)


def nearer_label(first: Tensor, second: Tensor, lam: Tensor) -> Tensor:
    """The label of the image with the larger share, ``first`` where both have half -> [M] int64 (features only)."""
    return torch.where(lam >= 0.5, first, second)
