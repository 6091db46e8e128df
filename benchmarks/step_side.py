"""Our side of step.py: the loop of pipeline/train.py over batches held in memory, a stretch at a time."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

from pipeline.runs.host_tuning import tune_host

tune_host()  # as pipeline/train.py does, before torch

import ours
import torch
from contender import Requests
from torch.nn.functional import cross_entropy
from torch.utils.flop_counter import FlopCounterMode

from pipeline.methods.step_types import Inputs
from pipeline.training.training_run import TrainingRun

HELD = 4


def main() -> None:
    """The first request says what to train, the others how many steps of what to time."""
    requests = Requests()
    for _, first in requests:
        requests.answer(None)
        ours.drive(first["settings"], Path(first["out"]), lambda run: feed(run, requests))
        return


def feed(run: TrainingRun, requests: Requests) -> Iterator[Inputs]:
    """Hands the training loop a batch for each step that is asked for."""
    loader = TrainingRun.inputs(run)
    host = list(islice(run.train_images.batches(0, HELD), HELD))
    sources = {"memory": held(run, host), "loader": loader}
    act = floor(run, next(sources["memory"]))
    for action, options in requests:
        spent: list[float] = []
        for _ in range(options.get("steps", 0)):
            settle(run)
            start = time.perf_counter()
            if action in sources:
                yield next(sources[action])
            else:
                act()
            settle(run)
            spent.append(time.perf_counter() - start)
        requests.answer(spent if action != "about" else about(run, act))
    raise ours.Enough


def settle(run: TrainingRun) -> None:
    """Waits for the device."""
    if run.ranks.device.type == "cuda":
        torch.cuda.synchronize()


def held(run: TrainingRun, host: list) -> Iterator[Inputs]:
    """The run's own batches over and over, moved to the device each time."""
    run.train_images.batches = lambda first, stop: (  # type: ignore[method-assign]
        replace(host[i % len(host)], step=i) for i in range(first, stop)
    )
    return TrainingRun.inputs(run)


def floor(run: TrainingRun, inputs: Inputs) -> Callable[[], None]:
    """Forward and backward of the learned images alone, in the run's precision and layout."""
    assert inputs.unlabelled.strong is not None
    images = run.numerics.batch([inputs.labelled.weak, inputs.unlabelled.strong])
    labels = torch.arange(len(images), device=images.device) % run.num_classes

    def act() -> None:
        with run.numerics.autocast():
            logits, _ = run.ddp(images)
        run.optimizer.zero_grad()
        cross_entropy(logits, labels).backward()

    return act


def about(run: TrainingRun, act: Callable[[], None]) -> dict[str, object]:
    """Precision, device, and the floating-point operations of the floor."""
    with FlopCounterMode(display=False) as counter:
        act()
    device = torch.cuda.get_device_name() if run.ranks.device.type == "cuda" else "cpu"
    return {"precision": run.numerics.precision, "device": device, "flops": counter.get_total_flops()}


if __name__ == "__main__":
    main()
