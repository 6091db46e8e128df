"""The peer's side of loader.py, run by the peer's Python: its data sets, augmentation, samplers and DataLoader.

``torchvision.datasets.CIFAR10`` hands out the images that the caller chose, in place of a download.
"""

import os
import time
from types import SimpleNamespace
from typing import Any

import contender
import numpy as np
import peer
import torchvision

peer.stub()

import semilearn  # noqa: E402
from semilearn.core.utils import get_data_loader, get_dataset  # noqa: E402

UNTIMED = 4  # batches: those that its workers prefetch
STEPS = 400
opened: dict[str, Any] = {}


def open_cifar(images: str, batch: int) -> None:
    """32x32: what FixMatch on CIFAR-10 reads, weak and strong view of each unlabelled image."""
    data = np.load(images)
    labels = data["labels"].tolist()
    torchvision.datasets.CIFAR10 = lambda *_, **__: SimpleNamespace(data=data["images"], targets=labels)
    _open("cifar10", "", 32, batch, 40, 10)


def open_imagenet(folder: str, batch: int, classes: int) -> None:
    """224x224: what FixMatch on ImageNet reads from FOLDER/imagenet/train."""
    _open("imagenet", folder, 224, batch, 10 * classes, classes)


def _open(dataset: str, folder: str, size: int, batch: int, labels: int, classes: int) -> None:
    options = {"algorithm": "fixmatch", "dataset": dataset, "img_size": size, "num_labels": labels, "seed": 0}
    args = semilearn.get_config(options | {"num_classes": classes})
    unlabelled = get_dataset(args, "fixmatch", dataset, labels, classes, folder)["train_ulb"]
    cores = len(os.sched_getaffinity(0))
    length = {"num_iters": STEPS, "num_epochs": 1}
    opened["loader"] = get_data_loader(
        args, unlabelled, batch, data_sampler=args.train_sampler, num_workers=cores, **length
    )


def rate(seconds: float) -> float:
    """Pairs of views a second, float32 and normalised."""
    batches = iter(opened["loader"])
    for _ in range(UNTIMED * opened["loader"].num_workers):
        next(batches)
    begin, count = time.perf_counter(), 0
    while (now := time.perf_counter()) < begin + seconds:
        count += len(next(batches)["x_ulb_s"])
    return count / (now - begin)


if __name__ == "__main__":
    contender.serve({"open_cifar": open_cifar, "open_imagenet": open_imagenet, "rate": rate})
