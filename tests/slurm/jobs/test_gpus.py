"""GPUs are counted as torch counts them."""

import pytest

from slurm.jobs import gpus


@pytest.mark.parametrize(
    ("visible", "found"),
    [(None, [0, 1, 2, 3]), ("", []), ("-1", []), ("2, 0", [2, 0]), ("3,4", [3]), ("0", [0])],
)
def test_visible_gpus(visible: str | None, found: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpus, "installed_gpus", lambda: 4)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert gpus.visible_gpus() == found


def test_they_are_those_of_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if torch.version.cuda:
        assert gpus.installed_gpus() == torch.cuda.device_count()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-8932f937-d72c-4106-c12f-20bd9faed9f6")
    assert gpus.visible_gpus() == []  # no such GPU; torch was asked
