"""Which of two soft labels a loss fits better when it cannot fit both (Luo et al., CSM, propositions 3.2 to 3.4).

Two images between the same two classes have the labels q1 = (a1, 1 - a1) and q2 = (a2, 1 - a2), and a network that is
smooth gives them predictions p1 and p2 that lie close together. The losses say where:

    minimise L(p1, q1) + L(p2, q2)   subject to   |p1 - p2|^2 <= delta < |q1 - q2|^2,
    beta = |p1 - q1|^2 - |p2 - q2|^2.

With a1 > a2 >= 1/2, beta is 0 for L2, which treats both alike; below 0 for cross-entropy, which fits the more confident
label at the cost of the other; above 0 for the focal loss. Losses are those of soft targets: sum_k (p_k - q_k)^2,
-sum_k q_k log p_k, and -sum_k q_k (1 - p_k)^gamma log p_k.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pipeline.calibration.sums import Floats

EDGE = 1e-9  # predictions stay this far from 0 and 1, where logarithms end
GAMMA = 1.0  # of the paper's proposition on the focal loss

Loss = Callable[[Floats, Floats], float]  # predictions and labels, both [2, 2]: a row each


def l2(p: Floats, q: Floats) -> float:
    """The squared distance of both predictions to their labels; both [2, 2]."""
    return float(np.square(p - q).sum())


def cross_entropy(p: Floats, q: Floats) -> float:
    """The sum of both cross-entropies in nats; both [2, 2]."""
    return float(-(q * np.log(p)).sum())


def focal(p: Floats, q: Floats) -> float:
    """The sum of both focal losses of exponent 1; both [2, 2]."""
    return float(-(q * (1 - p) ** GAMMA * np.log(p)).sum())


LOSSES: dict[str, Loss] = {"L2": l2, "CE": cross_entropy, "focal, gamma 1": focal}


@dataclass(frozen=True)
class Fit:
    """The first class's probability in both predictions, at the minimum; `beta` as above."""

    first: float
    second: float
    beta: float


def distance(alpha1: float, alpha2: float) -> float:
    """|q1 - q2|^2, which delta stays below."""
    return 2 * (alpha1 - alpha2) ** 2


def fit(loss: Loss, alpha1: float, alpha2: float, delta: float) -> Fit:
    """The minimum for labels of `alpha1` and `alpha2`, by sequential quadratic programming from their middle."""
    from scipy.optimize import minimize

    labels = _rows(np.array([alpha1, alpha2]))
    found = minimize(
        lambda x: loss(_rows(x), labels),
        np.full(2, (alpha1 + alpha2) / 2),
        method="SLSQP",
        bounds=[(EDGE, 1 - EDGE)] * 2,
        constraints={"type": "ineq", "fun": lambda x: delta - distance(x[0], x[1])},
        options={"ftol": 1e-15, "maxiter": 500},
    )
    first, second = map(float, found.x)
    return Fit(first, second, distance(first, alpha1) - distance(second, alpha2))


def l2_fit(alpha1: float, alpha2: float, delta: float) -> Fit:
    """L2's minimum in closed form: both predictions at the same distance from the middle of the labels."""
    middle, half = (alpha1 + alpha2) / 2, np.copysign(np.sqrt(delta / 8), alpha1 - alpha2)
    return Fit(float(middle + half), float(middle - half), 0.0)


def _rows(first: Floats) -> Floats:
    """Distributions [2, 2] of the first class's probabilities [2]."""
    return np.stack([first, 1 - first], axis=1)
