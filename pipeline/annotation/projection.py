"""lambda_E: where an image's features lie on the line through the prototypes of its two classes (CSM, Eq. 8 and 9)."""

import torch
from torch import Tensor

NEARLY_EQUAL = 1e-8  # squared distance of two prototypes, of the mean squared distance: rounding is all that is left


def class_sums(features: Tensor, labels: Tensor, num_classes: int) -> tuple[Tensor, Tensor]:
    """Sums of features by class, float64 [K, D], and how many there are of each class, float64 [K].

    ``features`` [B, D], ``labels`` int64 [B]. Sums of several batches or ranks add up to those of all.
    """
    wide = features.double()
    sums = wide.new_zeros(num_classes, wide.shape[1]).index_add_(0, labels, wide)
    return sums, torch.bincount(labels, minlength=num_classes).double()


def prototypes(sums: Tensor, counts: Tensor, classes: list[str]) -> Tensor:
    """Class means m_k [K, D] of ``sums`` [K, D] over ``counts`` [K] images.

    The paper's text sums (below Eq. 7), its released code takes means; Eq. 9 needs means, or a class of more images
    would be further away. Raises ValueError for a class without an image, or two classes with one mean.
    """
    if missing := [name for name, count in zip(classes, counts.tolist(), strict=True) if not count]:
        raise ValueError(
            f"no labelled image of class {missing[0]}, so it has no prototype; choose --labels that have every class"
        )
    means = sums / counts[:, None]
    distances = torch.cdist(means, means, compute_mode="donot_use_mm_for_euclid_dist") ** 2
    distances.fill_diagonal_(torch.inf)
    nearest = int(distances.argmin())
    first, second = divmod(nearest, len(means))
    spread = ((means - means.mean(0)) ** 2).sum(1).mean()
    if not distances[first, second] > NEARLY_EQUAL * spread:
        raise ValueError(
            f"classes {classes[first]} and {classes[second]} have the same mean features: nothing lies between them; "
            "choose another --encoder"
        )
    return means


def lambda_e(features: Tensor, means: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """lambda_E = <f - m_b, m_a - m_b> / |m_a - m_b|^2 (Eq. 9), float64 [B]: 1 at prototype a, 0 at b, unbounded.

    ``features`` [B, D], ``means`` [K, D] float64, classes a ``first`` and b ``second`` int64 [B].
    """
    line = means[first] - means[second]
    offset = features.double() - means[second]
    return (offset * line).sum(1) / (line * line).sum(1)
