"""One rank of networks.py: steps of the trainer's own loop, timed after the first."""

import resource
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from pipeline.runs.host_tuning import tune_host

tune_host()  # as pipeline/train.py does, before torch

import contender
import ours
import torch

from pipeline.methods.step_types import Inputs
from pipeline.training.progress import LOGGED
from pipeline.training.training_run import TrainingRun

STEPS = 5


def train(settings: list[str], out: str) -> dict[str, Any]:
    """Losses of the steps; then the size of all weights, whether it moved, parameters, time and memory."""
    found: dict[str, Any] = {"losses": []}
    ours.drive(settings, Path(out), lambda run: feed(run, found))
    return found


def feed(run: TrainingRun, found: dict[str, Any]) -> Iterator[Inputs]:
    """Hands out the steps' batches, and looks at the run between them."""
    before, loss = size(run), LOGGED.index("loss")
    clock = time.perf_counter if run.ranks.device.type == "cuda" else time.process_time
    moments, total = list[float](), 0.0
    for inputs in islice(TrainingRun.inputs(run), STEPS):
        yield inputs
        summed = float(run.progress.sums[loss])  # waits for the device
        moments.append(clock())
        found["losses"].append(summed - total)
        total = summed
    found["seconds"] = (moments[-1] - moments[0]) / (STEPS - 1)
    found["weights"], found["moved"] = size(run), size(run) != before
    found["parameters"] = sum(parameter.numel() for parameter in run.model.parameters())
    found["memory"] = memory(run)
    raise ours.Enough


def size(run: TrainingRun) -> float:
    """The sum of all weights' absolute values."""
    return sum(float(parameter.detach().abs().sum(dtype=torch.float64)) for parameter in run.model.parameters())


def memory(run: TrainingRun) -> int:
    """The most so far, in bytes: of the GPU, or of this process."""
    if run.ranks.device.type == "cuda":
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


if __name__ == "__main__":
    contender.serve({"train": train})
