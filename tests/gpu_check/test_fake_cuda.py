"""What a GPU would wait for or refuse is caught in a step on pretended CUDA, forward and backward, and nothing else."""

from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any
from unittest.mock import patch

import pytest
import torch
from gpu_check.fake_runs import attempt
from torch import Tensor, nn

from pipeline.models.wide_resnet import Block
from pipeline.training.guard import Guard
from pipeline.training.training_run import TrainingRun

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("pretence")]
CASE = {"model.name": "wrn-10-1", "precision": "bf16", "mix": "calibratemix"}
# On the way through a step: a batch's labels [b] int64 on the device and the label tensor of the split.
STATEMENTS: dict[str, Callable[[Tensor], Any]] = {
    "number": lambda labels: labels.sum().item(),
    "branch": lambda labels: bool(labels.any()),
    "mask": lambda labels: labels[labels > 1],
    "nonzero": lambda labels: (labels > 1).nonzero(),
    "copy to the host": lambda labels: labels.cpu(),
    "copy from the host": lambda labels: torch.arange(3).to(labels.device),
    "constant": lambda labels: torch.tensor([1.0, 2.0], device=labels.device),
    "sum with a CPU tensor": lambda labels: labels + torch.ones(len(labels), dtype=torch.int64),
    "index on the CPU": lambda labels: labels[torch.zeros(2, dtype=torch.int64)],
    "table on the CPU": lambda labels: torch.zeros(100)[labels],
}
FINE: dict[str, Callable[[Tensor], Any]] = {
    "number of the host": lambda labels: labels * 2 + len(labels),
    "copy that does not wait": lambda labels: torch.arange(3).to(labels.device, non_blocking=True),
    "where": lambda labels: torch.where(labels > 1, labels, 0),
}


def with_statement(name: str) -> str:
    """The error of a step in which a line like that stands."""
    original = Guard.remember

    def remember(self: Guard, inputs: Any) -> None:
        original(self, inputs)
        (STATEMENTS | FINE)[name](inputs.labelled.labels)

    with patch.object(Guard, "remember", remember):
        return attempt(CASE).error


class Backward(torch.autograd.Function):
    """Identity whose gradient does something wrong."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, wrong: str) -> Tensor:
        ctx.wrong = wrong
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        if ctx.wrong == "number":
            return gradient * gradient.sum().item(), None
        return gradient + torch.ones(gradient.shape), None


def with_backward(wrong: str) -> str:
    """The error of a step whose network has that layer."""
    original = Block.forward
    with patch.object(Block, "forward", lambda self, x: Backward.apply(original(self, x), wrong)):
        return attempt(CASE).error


def with_cpu_buffer() -> str:
    """The error of a step whose labels were left on the CPU."""
    original = TrainingRun._build_methods

    def build(self: TrainingRun, dataset: Any) -> None:
        original(self, dataset)
        self.labels = torch.from_numpy(dataset.train_labels)

    with patch.object(TrainingRun, "_build_methods", build):
        return attempt(CASE).error


def slow_averages() -> tuple[int, int]:
    """Launches of a list operation on tensors of one dtype, and of two."""
    from gpu_check.fake_cuda import DEVICE, FakeCuda, fake_cuda

    found = []
    with fake_cuda():
        for dtype in (torch.float32, torch.int64):
            lists = [[torch.zeros(2, device=DEVICE), torch.zeros(3, dtype=dtype, device=DEVICE)] for _ in range(2)]
            with FakeCuda() as mode:
                torch._foreach_copy_(*lists)
            found.append(sum(mode.launched.values()))
    return found[0], found[1]


@pytest.mark.parametrize("name", STATEMENTS)
def test_what_waits_or_mixes_devices_is_caught(pool: Executor, name: str) -> None:
    error = pool.submit(with_statement, name).result()
    assert error.startswith("DeviceMixup" if "CPU" in name else "DeviceWait"), error


@pytest.mark.parametrize("name", FINE)
def test_what_does_neither_is_not(pool: Executor, name: str) -> None:
    assert pool.submit(with_statement, name).result() == ""


@pytest.mark.parametrize(("wrong", "error"), [("number", "DeviceWait"), ("mixup", "DeviceMixup")])
def test_the_backward_pass_is_looked_at(pool: Executor, wrong: str, error: str) -> None:
    assert pool.submit(with_backward, wrong).result().startswith(error)


def test_a_table_that_was_left_on_the_cpu_is_caught(pool: Executor) -> None:
    assert pool.submit(with_cpu_buffer).result().startswith("DeviceMixup")


def test_lists_of_several_dtypes_are_launched_one_by_one(pool: Executor) -> None:
    assert pool.submit(slow_averages).result() == (1, 2)


def test_a_step_on_the_cpu_launches_backward_operations_for_each_layer(pool: Executor) -> None:
    """The backward pass is really run: a deeper network launches more."""
    small, deep = (pool.submit(attempt, CASE | {"model.name": name}).result() for name in ("wrn-10-1", "wrn-16-1"))
    assert not small.error and not deep.error
    assert 50 < small.launched["backward"] < deep.launched["backward"]


def test_nothing_of_the_pretence_reaches_this_process(pool: Executor) -> None:
    assert pool.submit(attempt, CASE).result().error == ""
    assert not torch.cuda.is_available() and torch.accelerator.current_accelerator(check_available=True) is None
    assert nn.Linear(1, 1).weight.device.type == "cpu"
