"""Soft labels of generated images, computed where they are used: a sweep over the scale s costs nothing.

Each function gives q [N, K] of images between classes a (``first``) and b (``second``), int64 [N]; rows add up to 1.
"""

import torch
from torch import Tensor


def calibrated_lambda(lambda_e: Tensor, scale: float) -> Tensor:
    """lambda = sigmoid(s (lambda_E - 1/2)) (CSM, Eq. 11) [N].

    For lambda_E in [0, 1] it stays in [sigmoid(-s/2), sigmoid(s/2)]: with s = 4 in [.119, .881].
    """
    return torch.sigmoid(scale * (lambda_e - 0.5))


def uncalibrated_lambda(lambda_e: Tensor, means: Tensor, first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """Eq. 10 [N], of which Eq. 11 leaves out what differs between classes: lengths of prototypes, and their distances.

    It equals sigmoid(<f, m_a - m_b> / tau) (Eq. 7), for ``means`` [K, D].
    """
    a, b = means[first], means[second]
    bias = ((a * a).sum(1) - (b * b).sum(1)) / 2
    return torch.sigmoid((((a - b) ** 2).sum(1) * (lambda_e - 0.5) + bias) / temperature)


def between(share: Tensor, first: Tensor, second: Tensor, num_classes: int) -> Tensor:
    """q = share e_a + (1 - share) e_b [N, K], for a ``share`` [N]."""
    labels = share.new_zeros(len(share), num_classes)
    labels.scatter_(1, first[:, None], share[:, None])
    return labels.scatter_(1, second[:, None], 1 - share[:, None])


def reannotated(lambda_e: Tensor, scale: float, first: Tensor, second: Tensor, num_classes: int) -> Tensor:
    """The method's own: q = lambda e_a + (1 - lambda) e_b with lambda of Eq. 11."""
    return between(calibrated_lambda(lambda_e, scale), first, second, num_classes)


def ratio(ratios: Tensor, first: Tensor, second: Tensor, num_classes: int) -> Tensor:
    """Without re-annotation (Table 6, variant 2): the mixing ratio that the generator was given, ``ratios`` [N]."""
    return between(ratios, first, second, num_classes)


def one_hot(ratios: Tensor, first: Tensor, second: Tensor, num_classes: int) -> Tensor:
    """All of the class that the generator was given most of, a where it is half and half.

    Table 6, variant 4 trains on the ends alone, whose ratios are 0 and 1.
    """
    return between((ratios >= 0.5).to(ratios.dtype), first, second, num_classes)


def zero_shot(distribution: Tensor) -> Tensor:
    """The encoder's own distribution over all classes (Table 6, variant 3), [N, K] as annotation.npz holds it."""
    return distribution / distribution.sum(1, keepdim=True)


def similarity_distribution(features: Tensor, means: Tensor, temperature: float) -> Tensor:
    """Zero-shot distribution of an encoder without a head: softmax(cos(f, m_k) / temperature) [B, K].

    CLIP's own temperature is .01 (Radford et al. 2021, logit scale 100); its prompts are replaced by class means here.
    """
    norm = torch.nn.functional.normalize
    return torch.softmax(norm(features.double(), dim=1) @ norm(means, dim=1).T / temperature, dim=1)
