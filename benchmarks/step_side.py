"""Our side of step.py: the loop of pipeline/train.py over batches held in memory, a stretch at a time."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from pipeline.runs.host_tuning import tune_host

tune_host()  # as pipeline/train.py does, before torch

import ours
import torch
from contender import Requests
from torch.autograd import DeviceType
from torch.nn.functional import cross_entropy
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from pipeline.methods.step_types import Inputs
from pipeline.training.training_run import TrainingRun

HELD = 4  # batches
UNTIMED = 3  # steps of a turn, on a GPU


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
        if action in answers:
            requests.answer(answers[action](run, act))
            continue
        if action == "kernels":
            with profile(activities=[ProfilerActivity.CUDA]) as trace:
                for _ in range(options["steps"]):
                    yield next(sources["memory"])
                settle(run)
            requests.answer([sum(_device_seconds(trace)) / options["steps"]])
            continue
        clock = time.process_time if options.get("processor") else time.perf_counter
        spent: list[float] = []
        for number, length in enumerate(stretches(run, options["steps"])):
            settle(run)
            start = clock()
            for _ in range(length):
                if action in sources:
                    yield next(sources[action])
                else:
                    act()
            settle(run)
            spent += [(clock() - start) / length] if number >= untimed(run) else []
        requests.answer(spent)
    raise ours.Enough


def _device_seconds(trace: profile) -> Iterator[float]:
    """Of each kernel and copy."""
    return (event.device_time_total / 1e6 for event in trace.events() if event.device_type == DeviceType.CUDA)


def stretches(run: TrainingRun, steps: int) -> list[int]:
    """Lengths of what is timed at once: a step on a CPU, all ``steps`` on a GPU, where the host runs ahead of it."""
    return [UNTIMED, steps] if untimed(run) else [1] * steps


def untimed(run: TrainingRun) -> int:
    """Stretches that count for nothing: on a GPU the first, in which memory is taken again."""
    return 1 if run.ranks.device.type == "cuda" else 0


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


def release(run: TrainingRun, act: Callable[[], None]) -> None:
    """Free memory of the GPU becomes another process's."""
    torch.cuda.empty_cache()


def about(run: TrainingRun, act: Callable[[], None]) -> dict[str, object]:
    """Precision, device, the floating-point operations of the floor, and the most memory so far, in bytes."""
    with FlopCounterMode(display=False) as counter:
        act()
    on_gpu = run.ranks.device.type == "cuda"
    return {
        "precision": run.numerics.precision,
        "device": torch.cuda.get_device_name() if on_gpu else "cpu",
        "flops": counter.get_total_flops(),
        "memory": torch.cuda.max_memory_allocated() if on_gpu else 0,
    }


answers: dict[str, Callable[[TrainingRun, Callable[[], None]], Any]] = {"about": about, "release": release}


if __name__ == "__main__":
    main()
