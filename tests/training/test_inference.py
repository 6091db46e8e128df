"""Predictions cover the test set once, in order, the same on any number of ranks."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from pipeline import config, models
from pipeline.config.options import ModelConfig
from pipeline.data.central_crops import CentralCrops
from pipeline.data.dataset import open_dataset
from pipeline.distributed import Ranks
from pipeline.models.numerics import Numerics
from pipeline.training.inference import predict
from tests.support.ranks import alone, on_ranks


def predicted(ranks: Ranks, data: Path) -> NDArray[np.float32]:
    dataset = open_dataset(config.load(None, ["dataset=digits", f"data={data}"]))
    model = models.build(ModelConfig(name="wrn-10-1"), 10, 0)
    images = CentralCrops(dataset.test_beton, 32, 64, 1, rank=ranks.rank, world=ranks.world)
    return predict(model, images, Numerics("bf16", dataset, ranks.device), ranks)


@pytest.mark.xdist_group("ranks")
def test_ranks_agree_with_a_plain_forward(data: Path) -> None:
    whole = alone(predicted, data)
    for part in on_ranks(3, predicted, data):  # 500 = 166 + 167 + 167
        np.testing.assert_allclose(part, whole, rtol=0, atol=1e-6)
    dataset = open_dataset(config.load(None, ["dataset=digits", f"data={data}"]))
    stored = torch.cat(list(CentralCrops(dataset.test_beton, 32, 500, 1).batches()))
    model = models.build(ModelConfig(name="wrn-10-1"), 10, 0).eval()
    with torch.inference_mode():  # float32 whatever precision trained
        expected = model((stored / 255 - dataset.mean[0]) / dataset.std[0])[0].numpy()
    np.testing.assert_allclose(whole, expected, rtol=0, atol=1e-4)
