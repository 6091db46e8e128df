"""What SLURM's commands say, read; the commands of a real one are in test_real_cluster.py."""

import pytest

from slurm.jobs import cluster
from slurm.jobs.cluster import Partition
from slurm.jobs.resources import Resources


def test_a_partition_of_several_kinds_of_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    days = "3-00:00:00"
    lines = [
        f"gpu*|2|64|512000+|gpu:a100:4(S:0-1)|{days}",
        f"gpu*|1|96+|256000|gpu:h100:8,gpu:t4:1|{days}",
        "cpu|9|16|1|(null)|infinite",
    ]
    monkeypatch.setattr(cluster, "_ask", lambda *command: "\n".join(lines))
    assert cluster.partitions() == (
        {"gpu": Partition(3, 96, 512000, 9, 4320), "cpu": Partition(9, 16, 1, 0, float("inf"))},
        "gpu",
    )
    assert cluster.resource_problems(Resources(nodes=3, gpus=8, tasks=8, cpus=8, minutes=60)) == []
