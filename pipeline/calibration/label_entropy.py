"""The entropy of mixup's training labels for a given alpha, exactly (Thulasidasan et al. 2019, figure 5).

A label that mixes two classes by lambda ~ Beta(alpha, alpha) has the entropy h(lambda) = -lambda log lambda -
(1 - lambda) log (1 - lambda). h rises up to lambda = 1/2 and is symmetric, so with F the distribution function of
lambda and l(x) <= 1/2 the lambda of h(l) = x,

    P(h <= x) = 2 F(l(x)),    E h = psi(2 alpha + 1) - psi(alpha + 1),

since E lambda log lambda = (psi(alpha + 1) - psi(2 alpha + 1)) / 2, psi the digamma function. Where an image is mixed
with one of its own class the entropy is 0; of C classes of equal size that are 1 / C of the pairs. Entropies in nats.
"""

import math

import numpy as np
from numpy.typing import ArrayLike

from pipeline.calibration.sums import Floats

LARGEST = math.log(2)  # of a label that mixes two classes


def mean_entropy(alpha: float, same_class: float = 0.0) -> float:
    """Over all labels, a share `same_class` of which mix images of one class."""
    from scipy.special import psi

    return (1 - same_class) * float(psi(2 * alpha + 1) - psi(alpha + 1))


def entropy_distribution(entropy: ArrayLike, alpha: float, same_class: float = 0.0) -> Floats:
    """P(entropy of a label <= x) for each x of `entropy`, same shape."""
    from scipy.special import betainc

    x = np.asarray(entropy, dtype=np.float64)
    two_classes = np.where(x >= LARGEST, 1.0, 2 * betainc(alpha, alpha, _lambda_of(x)))
    return np.where(x < 0, 0.0, same_class + (1 - same_class) * two_classes)


def _lambda_of(entropy: Floats) -> Floats:
    """The lambda in [0, 1/2] of an entropy, by halving an interval until float64 has no more; 0 below 0."""
    low, high = np.zeros_like(entropy), np.full_like(entropy, 0.5)
    for _ in range(1100):  # the smallest positive float64 is 2**-1074
        middle = (low + high) / 2
        above = _entropy(middle) > entropy
        if ((middle == low) | (middle == high)).all():
            break
        low, high = np.where(above, low, middle), np.where(above, middle, high)
    return low


def _entropy(lam: Floats) -> Floats:
    from scipy.special import entr

    return np.asarray(entr(lam) + entr(1 - lam))
