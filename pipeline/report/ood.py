"""Out-of-distribution detection: do the logits tell other images from test images? (Hendrycks and Gimpel 2017)

SciPy and scikit-learn are imported where they are used, because they are slow to import.
"""

from collections.abc import Callable, Collection

import numpy as np
from numpy.typing import ArrayLike

from pipeline.calibration.scores import softmax
from pipeline.calibration.sums import Floats, Ints
from pipeline.report.records import Detection


def max_softmax(logits: Floats) -> Floats:
    """The confidence [N] (Hendrycks and Gimpel 2017)."""
    return softmax(logits).max(axis=1)


def negative_entropy(logits: Floats) -> Floats:
    """-H(p) [N] in nats."""
    from scipy.special import logsumexp

    log_p = logits - logsumexp(logits, axis=1, keepdims=True)
    return (np.exp(log_p) * log_p).sum(axis=1)


def negative_energy(logits: Floats) -> Floats:
    """log sum_c exp z_c [N] (Liu et al. 2020, temperature 1)."""
    from scipy.special import logsumexp

    return logsumexp(logits, axis=1)


OOD_SCORES: dict[str, Callable[[Floats], Floats]] = {  # higher: more like the training images
    "max-softmax": max_softmax,
    "entropy": negative_entropy,
    "energy": negative_energy,
}


def meaningful(logits: Floats) -> tuple[str, ...]:
    """Names of the scores that say something of these logits [N, C].

    The energy of log-probabilities, such as an ensemble's, is 0 whatever they are; what is left is rounding.
    """
    normalised = np.abs(negative_energy(logits)).max() < 1e-4  # float32 rounds log-probabilities this little
    return tuple(name for name in OOD_SCORES if name != "energy" or not normalised)


def detection(inside: ArrayLike, outside: ArrayLike, scores: Collection[str] = OOD_SCORES) -> dict[str, Detection]:
    """By score, from logits [N, C] of test images and [M, C] of out-of-distribution images; in percent.

    `auroc`: the probability that a test image scores higher (50: no separation). `fpr95`: the share of the
    out-of-distribution images that are accepted where 95% of the test images are. ValueError where either is empty,
    or C differs.
    """
    parts = [np.asarray(logits, dtype=np.float64) for logits in (inside, outside)]
    if 0 in (len(parts[0]), len(parts[1])) or parts[0].shape[1:] != parts[1].shape[1:]:
        raise ValueError(f"logits must be [N, C] and [M, C], not {list(parts[0].shape)} and {list(parts[1].shape)}")
    if not all(np.isfinite(part).all() for part in parts):
        raise ValueError("logits are NaN or Inf")
    is_inside = np.repeat([1, 0], [len(part) for part in parts])
    return {name: _separation(is_inside, np.concatenate([OOD_SCORES[name](p) for p in parts])) for name in scores}


def _separation(is_inside: Ints, score: Floats) -> Detection:
    from sklearn.metrics import roc_auc_score, roc_curve

    false_positive, true_positive, _ = roc_curve(is_inside, score, drop_intermediate=False)
    first = int(np.argmax(true_positive >= 0.95))
    return Detection(auroc=100 * float(roc_auc_score(is_inside, score)), fpr95=100 * float(false_positive[first]))
