"""What an encoder says of labelled and of generated images: each read once, and only sums kept of the features."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.annotation.packed import FIELDS, Groups
from pipeline.annotation.projection import class_sums, lambda_e
from pipeline.annotation.soft_labels import similarity_distribution
from pipeline.data.beton_reader import Ints, cut
from pipeline.data.central_crops import CentralCrops
from pipeline.distributed import Ranks, all_reduce_sum
from pipeline.encoders.encoder import Encoder
from pipeline.encoders.labelled import RealImages
from pipeline.encoders.moments import FeatureSums
from pipeline.training.inference import answered
from pipeline.training.live_view import LiveView

SAY_EVERY = 5.0  # seconds between two lines of progress


@dataclass(frozen=True)
class Reading:
    """How images are read: ``batch`` at a time by ``threads`` threads, cropped and scaled for the encoder."""

    encoder: Encoder
    real: RealImages
    ranks: Ranks
    batch: int
    threads: int

    def crops(self, beton: Path, indices: Ints | None = None, fields: tuple[str, ...] = ("label",)) -> CentralCrops:
        """This rank's share of the images of a beton, all or those at ``indices``."""
        return CentralCrops(
            beton,
            self.real.image_size,
            self.batch,
            self.threads,
            indices=indices,
            rank=self.ranks.rank,
            world=self.ranks.world,
            resize_to=self.encoder.side,
            fields=fields,
        )

    def answers(self, crops: CentralCrops, what: str) -> Iterator[tuple[Ints, tuple[Tensor, ...]]]:
        """(places of a batch among ``crops``' images, the encoder's answers), with a view of progress on rank 0."""
        total, done, said, began = len(crops.indices), 0, time.monotonic(), time.monotonic()
        answers = answered(self.encoder.model, crops, self.encoder.normalise, self.encoder.device)
        with LiveView(what, total, 0, self.ranks.is_main, unit="image") as view:
            for places, answer in zip(cut(crops.mine, self.batch), answers, strict=True):
                yield places, answer
                done += len(places)
                now = time.monotonic()
                if now - said > SAY_EVERY:
                    said, all_done = now, min(total, done * self.ranks.world)
                    view.advance(all_done, f"{all_done / (now - began):,.0f} images/s")

    def dims(self) -> int:
        """D of the features, by one image: a rank may have none of its own."""
        blank = torch.zeros(1, 3, self.encoder.side, self.encoder.side, dtype=torch.uint8, device=self.encoder.device)
        with torch.inference_mode():
            return int(self.encoder.model.eval()(self.encoder.normalise(blank))[-1].shape[1])


def labelled_sums(
    reading: Reading, beton: Path, indices: Ints | None, num_classes: int, what: str
) -> tuple[Tensor, Tensor, FeatureSums]:
    """Of all ranks' images: sums of features by class [K, D], counts [K], and moments of all. Collective."""
    crops, device = reading.crops(beton, indices), reading.encoder.device
    moments = FeatureSums.none(reading.dims(), device)
    sums, counts = moments.total.new_zeros(num_classes, len(moments.total)), moments.total.new_zeros(num_classes)
    for places, (*_, features) in reading.answers(crops, what):
        labels = torch.from_numpy(crops.labels[places]).to(device)
        of_batch, number = class_sums(features, labels, num_classes)
        sums, counts = sums + of_batch, counts + number
        moments.add(features)
    return all_reduce_sum(sums), all_reduce_sum(counts), moments.over_ranks()


@dataclass(frozen=True)
class Generated:
    """Of this rank's n images, in order: ``lambda_e`` float32 [n], ``zero_shot`` float32 [n, K].

    Moments of all ranks' features: of images of one class (``ends`` of groups), and of those between (``inner``).
    """

    lambda_e: NDArray[np.float32]
    zero_shot: NDArray[np.float32]
    ends: FeatureSums
    inner: FeatureSums


def annotate_generated(reading: Reading, groups: Groups, means: Tensor, temperature: float) -> Generated:
    """Eq. 9 and the zero-shot distribution of each generated image, of prototypes ``means`` [K, D]. Collective."""
    crops, device = reading.crops(groups.beton, fields=FIELDS), reading.encoder.device
    ends, inner = (FeatureSums.none(means.shape[1], device) for _ in range(2))
    shares = np.empty(len(crops.mine), np.float32)
    distributions = np.empty((len(crops.mine), len(means)), np.float32)
    done = 0
    for places, answer in reading.answers(crops, "generated"):
        features, rows = answer[-1], slice(done, done + len(places))
        first, second = (torch.from_numpy(each).to(device) for each in groups.classes_of(places))
        shares[rows] = lambda_e(features, means, first, second).cpu()
        distributions[rows] = _zero_shot(answer, reading.encoder, means, temperature).cpu()
        at_end = torch.from_numpy(np.isin(places % len(groups.ratios), (0, len(groups.ratios) - 1))).to(device)
        ends.add(features[at_end])
        inner.add(features[~at_end])
        done += len(places)
    return Generated(shares, distributions, ends.over_ranks(), inner.over_ranks())


def _zero_shot(answer: tuple[Tensor, ...], encoder: Encoder, means: Tensor, temperature: float) -> Tensor:
    if encoder.has_head:
        return torch.softmax(answer[0].double(), dim=1)
    return similarity_distribution(answer[-1], means, temperature)
