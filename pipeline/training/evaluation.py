"""What an evaluation computes: predictions and metrics of the test images, and of validation images if there are."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from pipeline.calibration import scores
from pipeline.config import Config
from pipeline.data.central_crops import CentralCrops
from pipeline.data.dataset import Dataset
from pipeline.distributed import Ranks, broadcast_object
from pipeline.models.numerics import Numerics
from pipeline.training.inference import predict

Logits = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Of one model: ``logits`` [N, C] of each part, and ``metrics`` (validation's as validation_error and so on)."""

    step: int
    logits: dict[str, Logits]
    metrics: dict[str, float]

    def meets(self, goal: tuple[str, float] | None) -> bool:
        """Whether a metric is as low as ``goal`` (name, value) says: of the validation images, if there are."""
        if goal is None:
            return False
        name, value = goal
        return self.metrics.get(f"validation_{name}", self.metrics[name]) <= value


class Evaluator:
    """The images that models are evaluated on. ``parts``: test, and validation where the data set has it."""

    def __init__(self, config: Config, dataset: Dataset, ranks: Ranks, numerics: Numerics, threads: int) -> None:
        self.ranks, self.numerics, self.bins = ranks, numerics, config.evaluation.ece_bins
        how: dict[str, Any] = {"rank": ranks.rank, "world": ranks.world}
        given = dataset.image_size, config.eval_batch, threads
        self.parts = {"test": CentralCrops(dataset.test_beton, *given, **how)}
        if held := dataset.validation:
            self.parts["validation"] = CentralCrops(held.beton, *given, indices=held.indices, **how)

    def labels(self, part: str) -> NDArray[np.int64]:
        """[N] of the images of a part, in the order of their logits."""
        return self.parts[part].labels.astype(np.int64)

    def evaluate(self, model: nn.Module, step: int) -> Evaluation:
        """The predictions and metrics of ``model``, alike on all ranks. Collective."""
        logits = {part: predict(model, images, self.numerics, self.ranks) for part, images in self.parts.items()}
        found = {part: self._metrics(part, logits[part]) for part in logits} if self.ranks.is_main else {}
        found = broadcast_object(found)
        validation = {f"validation_{name}": value for name, value in found.get("validation", {}).items()}
        return Evaluation(step, logits, {**found["test"], **validation})

    def _metrics(self, part: str, logits: Logits) -> dict[str, float]:
        return scores.metrics(logits, self.labels(part), self.bins)
