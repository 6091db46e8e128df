"""Monte Carlo dropout (Gal and Ghahramani 2016): the mean of several passes in which dropout stays active.

All that is random lies between the features and the classifier, so the body sees each image once, with batch norm as
in evaluation, and only the classifier is repeated.
"""

from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from pipeline.calibration.averages import mean_prediction
from pipeline.calibration.sums import Floats

AT_ONCE = 4096  # images


@torch.inference_mode()
def mc_dropout(features: NDArray[np.floating], head: nn.Linear, dropout: float, passes: int, seed: int) -> Floats:
    """Logits, float64 [N, C], whose softmax is the mean over `passes` of the classifier on `features` [N, D].

    `dropout`: the probability that the run was trained with. What is dropped depends on (seed, pass, image) alone.
    """
    generators = [np.random.default_rng((seed, number)) for number in range(passes)]
    blocks = []
    for start in range(0, len(features), AT_ONCE):
        block = torch.from_numpy(features[start : start + AT_ONCE]).to(head.weight)
        answer = partial(_pass, block, head, dropout)
        blocks.append(mean_prediction(map(answer, generators)))
    return np.concatenate(blocks)


def _pass(features: Tensor, head: nn.Linear, dropout: float, generator: np.random.Generator) -> NDArray[np.floating]:
    """Logits [n, C] of one pass; what is kept of a feature is scaled up as in training."""
    kept = generator.random(features.shape, dtype=np.float32) >= dropout
    scale = torch.from_numpy(kept).to(features) / (1 - dropout)
    logits: NDArray[np.floating] = F.linear(features * scale, head.weight, head.bias).cpu().numpy()
    return logits
