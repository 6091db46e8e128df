"""Mean and covariance of features from sums that ranks add up, and the Frechet distance between two sets of them."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.distributed import all_reduce_sum

Floats = NDArray[np.float64]


@dataclass
class FeatureSums:
    """Of features [n, D]: their number, their sum [D] and the sum of their outer products [D, D], all float64."""

    count: Tensor
    total: Tensor
    outer: Tensor

    @classmethod
    def none(cls, dims: int, device: torch.device) -> "FeatureSums":
        shapes: tuple[tuple[int, ...], ...] = ((), (dims,), (dims, dims))
        return cls(*(torch.zeros(shape, dtype=torch.float64, device=device) for shape in shapes))

    def add(self, features: Tensor) -> None:
        """Features [B, D] of any dtype."""
        wide = features.double()
        self.count += len(wide)
        self.total += wide.sum(0)
        self.outer += wide.T @ wide

    def plus(self, other: "FeatureSums") -> "FeatureSums":
        """Of both sets of features together."""
        return FeatureSums(self.count + other.count, self.total + other.total, self.outer + other.outer)

    def over_ranks(self) -> "FeatureSums":
        """Of all ranks' features. Collective."""
        return FeatureSums(*(all_reduce_sum(each) for each in (self.count, self.total, self.outer)))

    def mean_and_covariance(self) -> tuple[Floats, Floats]:
        """[D] and, over n - 1, [D, D]."""
        mean = self.total / self.count
        scatter = self.outer - self.count * torch.outer(mean, mean)
        return mean.cpu().numpy(), (scatter / (self.count - 1).clamp(min=1)).cpu().numpy()


def frechet_distance(first: FeatureSums, second: FeatureSums) -> float:
    """|mu_1 - mu_2|^2 + tr(C_1 + C_2 - 2 (C_1 C_2)^(1/2)) (Heusel et al. 2017, Eq. 6), of these features.

    The trace of the root is that of the root of C_1^(1/2) C_2 C_1^(1/2), whose eigenvalues are real and not negative:
    no root of a product that is not symmetric, and nothing imaginary to drop.
    """
    (mean_1, covariance_1), (mean_2, covariance_2) = first.mean_and_covariance(), second.mean_and_covariance()
    values, vectors = np.linalg.eigh(covariance_1)
    root = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    product = np.linalg.eigvalsh(root @ covariance_2 @ root)
    trace = np.trace(covariance_1) + np.trace(covariance_2) - 2 * np.sqrt(product.clip(0)).sum()
    return float(((mean_1 - mean_2) ** 2).sum() + max(trace, 0.0))
