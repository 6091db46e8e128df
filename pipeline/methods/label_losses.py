"""The losses on labels that calibration is measured by, each one value an image: ``loss.name`` chooses.

All take logits [n, C] in float32 or better, classes [n] int64 or distributions [n, C], and the eps by which targets are
smoothed. With p = softmax(logits) and q the smoothed target, each but MMCE is a sum over classes, so that mixed targets
and smoothing mean something under any of them. MMCE asks whether an answer is right, so it needs classes.
"""

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.config.sections import LossConfig
from pipeline.distributed import gather_columns
from pipeline.methods.losses import SmoothedLoss, cross_entropy, one_hot, smooth

FLSD_SWITCH, FLSD_UNSURE = 0.2, 5.0  # FLSD-53: below this probability of the class, this gamma
MMCE_WIDTH = 0.4  # of the Laplacian kernel on confidences


def distributions(targets: Tensor, logits: Tensor, eps: float) -> Tensor:
    """Classes [n] int64 or distributions [n, C] -> smoothed distributions like ``logits`` [n, C]."""
    if targets.ndim == 1:
        targets = one_hot(targets, logits.shape[1]).to(logits.dtype)
    return smooth(targets, eps)


def entropy_regularised(logits: Tensor, targets: Tensor, eps: float = 0.0, *, weight: float) -> Tensor:
    """CE - weight x H(p): the confidence penalty (Pereyra et al. 2017)."""
    logs = logits.log_softmax(dim=1)
    entropy = -(logs.exp() * logs).sum(dim=1)
    return cross_entropy(logits, targets, eps) - weight * entropy


def focal(logits: Tensor, targets: Tensor, eps: float = 0.0, *, gamma: float) -> Tensor:
    """-sum q (1 - p)^gamma log p (Lin et al. 2017); gamma 0 is CE."""
    return _focal(logits, targets, eps, lambda p: torch.full_like(p, gamma))


def sample_dependent_focal(logits: Tensor, targets: Tensor, eps: float = 0.0, *, gamma: float) -> Tensor:
    """FLSD-53 (Mukhoti et al. 2020): focal with gamma 5 where p < .2, and ``gamma`` (3) from there on."""
    return _focal(logits, targets, eps, lambda p: torch.where(p < FLSD_SWITCH, FLSD_UNSURE, gamma))


def _focal(logits: Tensor, targets: Tensor, eps: float, gamma_of: Callable[[Tensor], Tensor]) -> Tensor:
    logs = logits.log_softmax(dim=1)
    doubt = -torch.expm1(logs)  # 1 - p, exact where p is near 1
    q = distributions(targets, logits, eps)
    return -(q * doubt ** gamma_of(logs.detach().exp()) * logs).sum(dim=1)


def margin_based(
    logits: Tensor, targets: Tensor, eps: float = 0.0, *, margin: float, weight: float, mean: bool
) -> Tensor:
    """CE + weight x max(0, max z - z_j - margin), over classes j (MbLS, Liu et al. 2022).

    ``mean``: averaged over classes, as the released code; else their sum, as the paper's Eq. 7.
    """
    beyond = F.relu(logits.amax(dim=1, keepdim=True) - logits - margin)
    penalty = beyond.mean(dim=1) if mean else beyond.sum(dim=1)
    return cross_entropy(logits, targets, eps) + weight * penalty


def brier(logits: Tensor, targets: Tensor, eps: float = 0.0, *, mean: bool) -> Tensor:
    """|p - q|^2 (Brier 1950); ``mean``: divided by C, as CSM's Eq. 13."""
    squares = (logits.softmax(dim=1) - distributions(targets, logits, eps)).square()
    return squares.mean(dim=1) if mean else squares.sum(dim=1)


def mmce(logits: Tensor, targets: Tensor, eps: float = 0.0, *, weight: float, root: bool) -> Tensor:
    """CE + weight x MMCE^2 of the global batch, or with ``root`` MMCE (Kumar et al. 2018, Eq. 5).

    MMCE^2 = sum_ij (c_i - r_i)(c_j - r_j) exp(-|r_i - r_j| / .4) / n^2, r the top confidence, c whether it is right.
    An image's value is its row of that sum. The others of the row come from all ranks without gradient; the sum is
    symmetric, so twice the row's gradient is the whole's. ``targets`` must be classes.
    """
    assert targets.ndim == 1, "MMCE needs classes"
    confidence, answer = logits.softmax(dim=1).max(dim=1)
    gap = (answer == targets).to(confidence.dtype) - confidence
    everyone, gaps = gather_columns(confidence.detach(), gap.detach())
    kernel = torch.exp(-(confidence[:, None] - everyone).abs() / MMCE_WIDTH)
    row = gap * (kernel @ gaps) / len(gaps)
    value = row.detach()
    if root:
        whole = gather_columns(value)[0].mean().clamp_min(torch.finfo(value.dtype).eps).sqrt()
        row, value = row / (2 * whole), value / (2 * whole)
        return cross_entropy(logits, targets, eps) + weight * (whole + 2 * (row - value))
    return cross_entropy(logits, targets, eps) + weight * (2 * row - value)


def label_loss(options: LossConfig) -> SmoothedLoss:
    """The loss of that name with its settings."""
    return LABEL_LOSSES[options.name](options)


LABEL_LOSSES: dict[str, Callable[[LossConfig], SmoothedLoss]] = {
    "ce": lambda _: cross_entropy,
    "erl": lambda options: partial(entropy_regularised, weight=options.entropy_weight),
    "focal": lambda options: partial(focal, gamma=options.gamma),
    "flsd": lambda options: partial(sample_dependent_focal, gamma=options.gamma),
    "mbls": lambda options: partial(
        margin_based, margin=options.margin, weight=options.margin_weight, mean=options.class_mean
    ),
    "mmce": lambda options: partial(mmce, weight=options.mmce_weight, root=options.mmce_root),
    "brier": lambda options: partial(brier, mean=options.class_mean),
}
