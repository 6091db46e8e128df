"""Predictions cover the test set once, in order, the same on any number of ranks."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from pipeline import config, models
from pipeline.config.sections import ModelConfig
from pipeline.data.central_crops import CentralCrops
from pipeline.data.dataset import open_dataset
from pipeline.distributed import Ranks
from pipeline.models.numerics import Numerics
from pipeline.training.inference import predict, predict_with_features
from tests.support.ranks import alone, on_ranks


def predicted(ranks: Ranks, data: Path) -> list[NDArray[np.float32]]:
    """Logits; logits and features."""
    dataset = open_dataset(config.load(None, ["dataset=digits", f"data={data}"]))
    model = models.build(ModelConfig(name="wrn-10-1"), 10, 0)
    images = CentralCrops(dataset.test_beton, 16, 64, 1, rank=ranks.rank, world=ranks.world)
    numerics = Numerics("bf16", dataset, ranks.device)
    return [predict(model, images, numerics, ranks), *predict_with_features(model, images, numerics, ranks)]


@pytest.mark.xdist_group("ranks")
def test_ranks_agree_with_a_plain_forward(data: Path) -> None:
    whole = alone(predicted, data)
    for part in on_ranks(3, predicted, data):  # 500 = 166 + 167 + 167
        for one, other in zip(part, whole, strict=True):
            np.testing.assert_allclose(one, other, rtol=0, atol=1e-6)
    dataset = open_dataset(config.load(None, ["dataset=digits", f"data={data}"]))
    stored = torch.cat(list(CentralCrops(dataset.test_beton, 16, 500, 1).batches()))
    model = models.build(ModelConfig(name="wrn-10-1"), 10, 0).eval()
    with torch.inference_mode():  # float32 whatever precision trained
        expected = model((stored / 255 - dataset.mean[0]) / dataset.std[0])
    for one, other in zip(whole, (expected[0], *expected), strict=True):
        np.testing.assert_allclose(one, other.numpy(), rtol=0, atol=1e-4)
