"""What a trained network thinks of the unlabelled training images: pseudo-labels, and how sure it is."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.calibration.scores import softmax
from pipeline.calibration.sums import Floats, Ints
from pipeline.data.streams import VirtualShards
from pipeline.methods.margins import all_margins
from pipeline.report.restore import Restored, saved_tensor


@dataclass(frozen=True)
class Guesses:
    """Pseudo-labels of `n` unlabelled training images, from central crops (training takes them from weak views).

    `truth` is -1 where nobody knows. `margin`: the APM of the pseudo-label where the run tracked it (`is_apm`), else
    the margin of these logits.
    """

    index: Ints  # [n] positions in train.beton
    guess: Ints  # [n]
    truth: Ints  # [n]
    confidence: Floats  # [n]
    margin: Floats  # [n]
    is_apm: bool

    @property
    def wrong(self) -> NDArray[np.bool_]:
        """[n] true where the label is known and another one."""
        return (self.truth >= 0) & (self.truth != self.guess)

    def worst(self, num: int) -> Ints:
        """Places of the `num` wrong pseudo-labels of the highest confidence, the highest first."""
        places = np.flatnonzero(self.wrong)
        return places[np.argsort(-self.confidence[places], kind="stable")][:num]


def guesses(of: Restored, limit: int) -> Guesses | None:
    """Of the first `limit` unlabelled images of train.beton, a random sample as its order is; None without any."""
    index = np.setdiff1d(np.arange(of.dataset.num_train), of.dataset.split, assume_unique=True)[:limit]
    if len(index) == 0:
        return None
    crops = of.crops(of.dataset.train_beton, index)
    logits = of.logits(crops).astype(np.float64)
    guess = logits.argmax(axis=1)
    apm = _apm(of, index, guess)
    margin = all_margins(torch.from_numpy(logits)).gather(1, torch.from_numpy(guess)[:, None]).squeeze(1).numpy()
    confidence = softmax(logits).max(axis=1)
    return Guesses(index, guess, crops.labels, confidence, margin if apm is None else apm, apm is not None)


def _apm(of: Restored, index: Ints, guess: Ints) -> Floats | None:
    """APM [n] at the pseudo-labels, from the checkpoint; None where the run tracked none."""
    table = saved_tensor(of.checkpoint, "mixing_sharded.table")
    if table is None or table.numel() == 0:
        return None
    shards = VirtualShards.of(of.dataset.num_train, of.config.batch.labelled, of.config.unlabelled_batch)
    rows = shards.row_of(index, 0, 1)
    return table[torch.from_numpy(rows), torch.from_numpy(guess)].double().numpy()


def pixels(of: Restored, beton: Path, index: Ints) -> NDArray[np.uint8]:
    """Images [n, S, S, 3] at the positions `index` [n] of a beton."""
    shown: list[Any] = [batch.permute(0, 2, 3, 1).numpy() for batch in of.crops(beton, index).batches()]
    return np.concatenate(shown)
