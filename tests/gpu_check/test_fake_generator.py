"""Neither a generator's step nor its sampler waits for a GPU."""

from concurrent.futures import Executor

import pytest
from gpu_check.fake_generator import launches

SMALL = ["batch=16", "network.channels=16", "network.multipliers=1 2", "network.blocks=1", "network.attention=16"]


@pytest.mark.slow
@pytest.mark.xdist_group("pretence")
def test_nothing_waits(pool: Executor) -> None:
    counted = pool.submit(launches, [*SMALL, "resolution=16", "label_dropout=0.1", "precision=bf16"]).result()
    assert set(counted) == {"step", "backward", "sampling"} and min(counted.values()) > 100
