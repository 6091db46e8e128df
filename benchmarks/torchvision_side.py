"""The peer of mixup.py: torchvision's MixUp in the collate_fn of a DataLoader, and a plain training loop.

As https://docs.pytorch.org/vision/stable/auto_examples/transforms/plot_cutmix_mixup.html shows it. Two loaders, with
and without MixUp, feed one network; their workers stay between turns.
"""

import os
import time
from collections.abc import Callable, Iterator
from multiprocessing import active_children
from pathlib import Path
from typing import Any

import contender
import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, RandomSampler, default_collate
from torchvision.transforms import v2

from pipeline import models
from pipeline.config.options import ModelConfig

CLASSES, IMAGES, ALPHA = 10, 5000, 0.2
CUDA = torch.cuda.is_available()
DEVICE = torch.device("cuda" if CUDA else "cpu")
SURELY = 5  # looks in a row at which all workers sleep
UNTIMED = 3  # steps of a turn, on a GPU
MANY = 10**6  # batches of a loader
held: dict[str, Any] = {}


class Images(Dataset[tuple[Tensor, int]]):
    """Arrays in memory that become PIL images, as torchvision's CIFAR10 hands them out."""

    def __init__(self, size: int) -> None:
        random = np.random.RandomState(0)
        self.images = random.randint(0, 256, (IMAGES, size, size, 3), dtype=np.uint8)
        self.labels = random.randint(0, CLASSES, IMAGES).tolist()
        self.transform = v2.Compose(
            [
                v2.RandomCrop(size, padding=size // 8, padding_mode="reflect"),
                v2.RandomHorizontalFlip(),
                v2.PILToTensor(),
                v2.ToDtype(torch.float32, scale=True),
                v2.Normalize([0.5] * 3, [0.25] * 3),
            ]
        )

    def __len__(self) -> int:
        return IMAGES

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(Image.fromarray(self.images[index])), self.labels[index]


class MixingCollate:
    """Batches whose images and one-hot labels are mixed."""

    def __init__(self) -> None:
        self.mixup = v2.MixUp(alpha=ALPHA, num_classes=CLASSES)

    def __call__(self, samples: list[tuple[Tensor, int]]) -> Any:
        return self.mixup(*default_collate(samples))


def hold(model: str, batch: int, size: int, channels_last: bool, workers: int | None = None) -> None:
    """A network, its optimizer and both loaders; ``workers``: None is one a core."""
    held["layout"] = torch.channels_last if channels_last else torch.contiguous_format
    network = models.build(ModelConfig(name=model), CLASSES, 0, size).to(DEVICE).to(memory_format=held["layout"])
    held["network"] = network.train()
    held["optimizer"] = torch.optim.SGD(
        [p for p in network.parameters() if p.requires_grad], 0.01, momentum=0.9, weight_decay=5e-4, nesterov=True
    )
    workers = len(os.sched_getaffinity(0)) if workers is None else workers
    held["batches"] = {mixes: _batches(Images(size), batch, mixes, workers) for mixes in (False, True)}


def _batches(images: Images, batch: int, mixes: bool, workers: int) -> Iterator[Any]:
    sampler = RandomSampler(images, replacement=True, num_samples=batch * MANY)
    collate: Callable[..., Any] = MixingCollate() if mixes else default_collate
    loader = DataLoader(images, batch, sampler=sampler, num_workers=workers, collate_fn=collate, pin_memory=CUDA)
    return iter(loader)


def step(mixes: bool) -> None:
    """One of training; targets are classes, or mixed one-hot labels."""
    images, targets = next(held["batches"][mixes])
    images = images.to(DEVICE, non_blocking=True, memory_format=held["layout"])
    logits, _ = held["network"](images)
    loss = nn.functional.cross_entropy(logits, targets.to(DEVICE, non_blocking=True))
    held["optimizer"].zero_grad()
    loss.backward()
    held["optimizer"].step()


def seconds(steps: int, mixes: bool, processor: bool) -> list[float]:
    """Of each of so many steps; on a GPU, of one in the mean over all, after some that do not count.

    ``processor``: in the mean over all, workers included, which have filled their queues again.
    """
    if processor:
        return [_timed(steps, mixes, processor_seconds)]
    if not CUDA:
        return [_timed(1, mixes) for _ in range(steps)]
    _timed(UNTIMED, mixes)
    return [_timed(steps, mixes)]


def _timed(steps: int, mixes: bool, clock: Callable[[], float] = time.perf_counter) -> float:
    start = clock()
    for _ in range(steps):
        step(mixes)
    if CUDA:
        torch.cuda.synchronize()
    return (clock() - start) / steps


def processor_seconds() -> float:
    """Of this process and the loaders' workers, so far, once these sleep."""
    asleep = 0
    while asleep < SURELY:
        time.sleep(0.01)
        found = [Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split() for child in active_children()]
        asleep = asleep + 1 if all(fields[0] == "S" for fields in found) else 0
    ticks = sum(int(fields[11]) + int(fields[12]) for fields in found)  # utime, stime: proc(5)
    return time.process_time() + ticks / os.sysconf("SC_CLK_TCK")


def release() -> None:
    """Free memory of the GPU becomes another process's."""
    torch.cuda.empty_cache()


if __name__ == "__main__":
    contender.serve({"hold": hold, "seconds": seconds, "release": release})
