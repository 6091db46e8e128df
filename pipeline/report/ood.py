"""Are images of another kind told from the test images by confidence? (Hendrycks and Gimpel 2017)"""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import logsumexp
from sklearn.metrics import roc_auc_score, roc_curve

from pipeline.calibration.scores import softmax
from pipeline.calibration.sums import Floats


def max_softmax(logits: Floats) -> Floats:
    """The confidence [N] (Hendrycks and Gimpel 2017)."""
    return softmax(logits).max(axis=1)


def negative_entropy(logits: Floats) -> Floats:
    """-H(p) [N] in nats."""
    log_p = logits - logsumexp(logits, axis=1, keepdims=True)
    return (np.exp(log_p) * log_p).sum(axis=1)


def negative_energy(logits: Floats) -> Floats:
    """log sum_c exp z_c [N] (Liu et al. 2020, temperature 1)."""
    return logsumexp(logits, axis=1)


SCORES: dict[str, Callable[[Floats], Floats]] = {  # higher means: like the training images
    "max-softmax": max_softmax,
    "entropy": negative_entropy,
    "energy": negative_energy,
}


def detection(inside: ArrayLike, outside: ArrayLike) -> dict[str, dict[str, float]]:
    """{score: {"auroc", "fpr95"}} in percent, from logits [N, C] of test images and [M, C] of others.

    `auroc`: the chance that a test image scores higher than another (50: no difference). `fpr95`: the share of the
    others that pass where 95% of the test images do. ValueError where either is empty, or C differs.
    """
    parts = [np.asarray(logits, dtype=np.float64) for logits in (inside, outside)]
    if 0 in (len(parts[0]), len(parts[1])) or parts[0].shape[1:] != parts[1].shape[1:]:
        raise ValueError(f"logits must be [N, C] and [M, C], not {list(parts[0].shape)} and {list(parts[1].shape)}")
    if not all(np.isfinite(part).all() for part in parts):
        raise ValueError("logits are NaN or Inf")
    is_inside = np.repeat([1, 0], [len(part) for part in parts])
    return {name: _separation(is_inside, np.concatenate([score(p) for p in parts])) for name, score in SCORES.items()}


def _separation(is_inside: np.ndarray, score: Floats) -> dict[str, float]:
    false_positive, true_positive, _ = roc_curve(is_inside, score, drop_intermediate=False)
    first = int(np.argmax(true_positive >= 0.95))
    return {"auroc": 100 * float(roc_auc_score(is_inside, score)), "fpr95": 100 * float(false_positive[first])}
