"""Neither a generator's step nor its sampler waits for a GPU."""

import pytest
from gpu_check.fake_generator import launches
from gpu_check.fake_runs import pretending

SMALL = ["batch=16", "network.channels=16", "network.multipliers=1 2", "network.blocks=1", "network.attention=16"]


@pytest.mark.slow
def test_nothing_waits() -> None:
    with pretending() as processes:
        counted = processes.submit(launches, [*SMALL, "resolution=16", "label_dropout=0.1", "precision=bf16"]).result()
    assert set(counted) == {"step", "backward", "sampling"} and min(counted.values()) > 100
