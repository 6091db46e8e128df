"""Our side of the comparisons: a small data folder, and real runs whose steps or batches a caller counts."""

import contextlib
import io
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from dataprep.make_beton import main as make_beton
from pipeline import config as configuration
from pipeline import distributed
from pipeline.data.dataset import open_dataset
from pipeline.methods.step_types import Inputs
from pipeline.runs.folder import RunFolder
from pipeline.training import loop
from pipeline.training.training_run import TrainingRun, choose_threads

NAME = "images"
CLASSES = 10


class Enough(Exception):
    """Leaves the training loop before its last step: no evaluation, no result."""


def write_images(folder: Path, per_class: int, size: int) -> Path:
    """Folders of 10 classes of smooth noise, ``size`` pixels square."""
    random = np.random.RandomState(0)
    for c in range(CLASSES):
        (folder / str(c)).mkdir(parents=True)
        for i in range(per_class):
            small = Image.fromarray(random.randint(0, 256, (8, 8, 3), dtype=np.uint8))
            small.resize((size, size), Image.Resampling.BICUBIC).save(folder / str(c) / f"{i}.png")
    return folder


def noise(scratch: Path, name: str, per_class: int, size: int, *options: str) -> list[str]:
    """A data folder of images of ``write_images``, made once in ``scratch``; the settings that choose it."""
    out = scratch / name
    if (out / NAME / "manifest.json").exists():
        return chosen(out)
    return make_data(write_images(scratch / f"{name}-source", per_class, size), out, *options)


def chosen(out: Path) -> list[str]:
    """The settings that choose OUT/images."""
    return [f"data={out}", f"dataset={NAME}", "labels=4", "seed=0"]


def make_data(source: Path, out: Path, *options: str) -> list[str]:
    """OUT/images, made of class folders by dataprep; the settings that choose it."""
    words = ["folder", "--name", NAME, "--source", str(source), "--out", str(out), *options]
    with contextlib.redirect_stdout(io.StringIO()):
        code = make_beton([*words, "--labels-per-class", "4", "--seeds", "0"])
    if code:
        raise SystemExit(code)
    return chosen(out)


def drive(settings: list[str], out: Path, feed: Callable[[TrainingRun], Iterator[Inputs]]) -> None:
    """Runs pipeline/train.py's own loop on what ``feed`` yields of a run; ``feed`` raises Enough to end it."""
    config = configuration.load(None, [*settings, f"out={out}"])
    dataset = open_dataset(config)

    class Fed(TrainingRun):
        def inputs(self) -> Iterator[Inputs]:
            return feed(self)

    original, loop.TrainingRun = loop.TrainingRun, Fed  # type: ignore[misc]
    ranks = distributed.start()
    try:
        with contextlib.suppress(Enough):
            loop.train(config, dataset, ranks, RunFolder(config))
    finally:
        distributed.stop()
        loop.TrainingRun = original  # type: ignore[misc]


def open_run(settings: list[str]) -> TrainingRun:
    """A run that is not trained, for its loader."""
    config = configuration.load(None, settings)
    return TrainingRun(config, open_dataset(config), distributed.start(), choose_threads(config.threads))
