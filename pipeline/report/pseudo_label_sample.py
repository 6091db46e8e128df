"""What a trained network makes of unlabelled training images: pseudo-labels, and how sure of them it is."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.calibration.sums import Floats, Ints


@dataclass(frozen=True)
class PseudoLabelSample:
    """Pseudo-labels of `n` unlabelled training images, from central crops (training takes them from weak views).

    `truth` is -1 where the label is unknown. `margin`: the APM of the pseudo-label where the run tracked it (`is_apm`),
    otherwise the margin of the network's logits.
    """

    index: Ints  # [n] positions in train.beton
    pseudo_label: Ints  # [n]
    truth: Ints  # [n]
    confidence: Floats  # [n]
    margin: Floats  # [n]
    is_apm: bool

    @property
    def wrong(self) -> NDArray[np.bool_]:
        """[n] true where the label is known and differs from the pseudo-label."""
        return (self.truth >= 0) & (self.truth != self.pseudo_label)

    def most_confident_wrong(self, num: int) -> Ints:
        """Positions in the sample of the `num` wrong pseudo-labels of the highest confidence, the highest first."""
        wrong = np.flatnonzero(self.wrong)
        return wrong[np.argsort(-self.confidence[wrong], kind="stable")][:num]
