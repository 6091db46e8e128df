"""Which GPU a rank has, on machines that this one is not: torch's answers about CUDA are replaced here."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from pipeline import devices, distributed, train
from tests.support.launch import ROOT, digits

Machine = Callable[..., list[object]]


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    """``machine(gpus, VARIABLE=...)``: torch has so many GPUs; returns what is set of them, filled as it happens."""

    def make(gpus: int, **environment: str) -> list[object]:
        calls: list[object] = []
        monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
        monkeypatch.setattr(torch.cuda, "current_device", lambda: gpus - 1)
        monkeypatch.setattr(torch.cuda, "set_device", lambda d: calls.append((threading.current_thread().name, d)))
        monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", lambda *given: calls.append(given))
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        return calls

    return make


def test_the_tests_see_no_gpu() -> None:
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "" and not torch.cuda.is_available()


@pytest.mark.parametrize(
    ("gpus", "environment", "refused"),
    [
        (1, {"LOCAL_WORLD_SIZE": "2", "LOCAL_RANK": "0", "TORCHELASTIC_RUN_ID": "x"}, "2 ranks, but 1 GPUs"),
        (4, {"LOCAL_WORLD_SIZE": "8", "LOCAL_RANK": "1", "TORCHELASTIC_RUN_ID": "x"}, "8 ranks, but 4 GPUs"),
        (2, {"LOCAL_WORLD_SIZE": "2", "LOCAL_RANK": "1", "TORCHELASTIC_RUN_ID": "x"}, None),
        (1, {"LOCAL_WORLD_SIZE": "8", "LOCAL_RANK": "0"}, None),  # SLURM has bound a GPU to each task
        (2, {"LOCAL_WORLD_SIZE": "4", "LOCAL_RANK": "3"}, "4 ranks, but 2 GPUs"),
        (1, {}, None),
        (0, {"LOCAL_WORLD_SIZE": "2", "LOCAL_RANK": "1", "TORCHELASTIC_RUN_ID": "x"}, None),
    ],
)
def test_more_ranks_than_gpus(gpus: int, environment: dict[str, str], refused: str | None, machine: Machine) -> None:
    machine(gpus, **environment)
    if refused is None:
        devices.check()
    else:
        with pytest.raises(ValueError, match=rf"^{refused} on this machine: start {gpus} \(--nproc_per_node=gpu\), or"):
            devices.check()


def test_two_ranks_on_one_gpu_are_one_line(
    machine: Machine, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Once a traceback about an invalid device ordinal, of the second rank."""
    elastic = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "TORCHELASTIC_RUN_ID": "x"}
    machine(1, RANK="0", LOCAL_RANK="0", **elastic)
    assert train.main(digits(data, tmp_path / "run")) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: 2 ranks, but 1 GPUs on this machine") and said.count("\n") == 1
    assert not (tmp_path / "run").exists()
    machine(1, RANK="2", LOCAL_RANK="0", WORLD_SIZE="4")  # a second machine has its own
    assert train.main(digits(data, tmp_path / "run")) == 2
    assert capsys.readouterr().err == said


def test_a_rank_takes_its_gpu_and_its_share_of_the_memory(machine: Machine) -> None:
    calls = machine(4, LOCAL_RANK="2")
    assert devices.take() == torch.device("cuda", 2)
    assert calls == [("MainThread", torch.device("cuda", 2))]
    calls = machine(4, LOCAL_RANK="2", CALIBRATEMIX_GPU_SHARED_BY="5")
    devices.take()
    assert calls[1] == (pytest.approx(0.19), torch.device("cuda", 2))
    assert machine(0, LOCAL_RANK="2") == [] and devices.take() == torch.device("cpu")


def test_threads_stay_on_the_gpu_of_their_process(machine: Machine) -> None:
    calls = machine(4)
    thread = threading.Thread(target=devices.for_threads(), name="reader")
    thread.start()
    thread.join()
    assert calls == [("reader", 3)]
    calls = machine(0)
    devices.for_threads()()
    assert calls == []


def test_a_gpu_that_cuda_cannot_use_is_not_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An old driver: the run would go on for weeks on the CPU."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    (tmp_path / "nvidiactl").touch()
    assert devices.unusable_gpu(tmp_path) == ""  # no GPU
    (tmp_path / "nvidia1").touch()
    assert devices.unusable_gpu(tmp_path).startswith(f"{tmp_path}/nvidia1: a GPU that CUDA cannot use (")
    (tmp_path / "nvidia0").symlink_to(tmp_path / "gone")  # no driver behind it
    assert devices.unusable_gpu(tmp_path).startswith(f"{tmp_path}/nvidia0: ")
    for hidden in ("", "-1", "-1,0", "NoDevFiles"):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
        assert devices.unusable_gpu(tmp_path) == ""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")

    def forbidden(*_: object) -> int:
        raise PermissionError

    monkeypatch.setattr(os, "open", forbidden)
    assert devices.unusable_gpu(tmp_path) == ""  # other jobs' GPUs


def test_training_and_every_start_refuse_such_a_gpu(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(devices, "unusable_gpu", lambda: "/dev/nvidia0: a GPU that CUDA cannot use (too old).")
    assert train.main(digits(data, tmp_path / "run")) == 2
    said = capsys.readouterr().err
    assert said == (
        "error: /dev/nvidia0: a GPU that CUDA cannot use (too old). See make doctor, or train on the CPU with "
        "CUDA_VISIBLE_DEVICES= before the command\n"
    )
    assert not (tmp_path / "run").exists()
    with pytest.raises(ValueError, match="too old"):
        distributed.start()


@pytest.mark.slow
def test_eager_training_imports_no_inductor(data: Path, tmp_path: Path) -> None:
    """590 modules and 42 MiB on every rank, for a call that only compiled steps need.

    (torch's optimizers import Dynamo, and that some two dozen light modules of Inductor.)
    """
    program = (
        "import sys; from pipeline import train; code = train.main(sys.argv[1:]);"
        "print(sum(name.startswith('torch._inductor') for name in sys.modules)); sys.exit(code)"
    )
    sets = ("steps=2", "eval_every=2", "checkpoint_every=2", "mix=calibratemix", "warmup_steps=1")
    given = digits(data, tmp_path / "run", *sets)
    done = subprocess.run([sys.executable, "-c", program, *given], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.splitlines()[-1]) < 100
