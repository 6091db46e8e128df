"""The terms of the objective (CalibrateMix Eq. 10), as tensors in and a tensor out.

Each term on a rank is W x (local sum) / (global count): DDP averages gradients over the W ranks, so the
update is that of the global mean whatever the number of ranks.
"""

import torch.nn.functional as F
from torch import Tensor


def rank_share(per_image: Tensor, global_count: int, world: int) -> Tensor:
    """The rank's part of a global mean: ``per_image`` [b] -> scalar."""
    return per_image.sum() * (world / global_count)


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """[B, C] and hard labels [B] int64 -> [B]."""
    return F.cross_entropy(logits, labels, reduction="none")


def soft_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """[B, C] and target distributions [B, C] -> [B]: H(y, p) = -sum y log p."""
    return -(targets * logits.log_softmax(dim=1)).sum(dim=1)


def mixed_targets(first: Tensor, second: Tensor, lam: Tensor, num_classes: int) -> Tensor:
    """lam x onehot(first) + (1 - lam) x onehot(second): labels [M], [M] and ``lam`` [M] -> [M, C]."""
    share = lam[:, None]
    one = F.one_hot(first, num_classes).to(lam.dtype)
    other = F.one_hot(second, num_classes).to(lam.dtype)
    return share * one + (1 - share) * other
