"""What a rank of the trainer is told by its task."""

import pytest

from slurm.jobs.task import Task


def test_environment_of_a_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    task = Task("12_1", "slurm", rank=5, world=8, local_rank=1, local_world=4, host="node1", restart=2)
    found = task.environment()
    expected = {"RANK": "5", "WORLD_SIZE": "8", "LOCAL_WORLD_SIZE": "4", "MASTER_ADDR": "node1"}
    assert expected.items() <= found.items()
    assert found["LOCAL_RANK"] == "0"  # one GPU is bound to each task
    assert 20000 <= int(found["MASTER_PORT"]) < 32000
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2,3")
    assert task.environment()["LOCAL_RANK"] == "1"
    monkeypatch.setenv("RANK", "9")
    assert "RANK" not in Task("12", "slurm").environment()  # alone
