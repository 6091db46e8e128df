"""From resolved options to a trained run: what they cannot tell is checked, ranks join, failures are reported."""

import os
import shutil
from collections.abc import Callable

import torch

from pipeline import devices, distributed, models
from pipeline.annotation.soft_labelled import SoftLabelled, open_soft_labelled
from pipeline.config import Config
from pipeline.data.dataset import Dataset, open_dataset
from pipeline.data.streams import VirtualShards
from pipeline.distributed import Ranks
from pipeline.models.numerics import resolve_precision
from pipeline.runs.checkpoints import last_saved_step
from pipeline.runs.files import read_json
from pipeline.runs.folder import RunFolder
from pipeline.training.failures import Written, following_failures, report
from pipeline.training.loop import train
from pipeline.training.optimization import layer_scales
from pipeline.training.schedule import with_steps
from pipeline.training.starting_weights import starting_weights

COMPILERS = {"cpu": ("CXX", "g++", "clang++"), "cuda": ("CC", "gcc", "clang")}  # Inductor needs C++, Triton C


def launch(config: Config) -> int:
    """Trains the run; the exit code: 1 where it failed, after a report. ValueError for a mistake, before any start."""
    dataset = open_dataset(config)
    config = with_steps(config, len(dataset.split))
    folder = RunFolder(config)
    check(config, dataset, folder)
    return on_ranks(folder, lambda ranks: train(config, dataset, ranks, folder))


def on_ranks(folder: Written, work: Callable[[Ranks], object]) -> int:
    """``work`` in the process group, writing ``folder``; the exit code: 1 where it failed, after a report."""
    ranks = distributed.start()
    try:
        with following_failures(ranks):
            work(ranks)
    except Exception as error:
        report(error, ranks, folder)
        return 1
    finally:
        folder.lock.release()
        distributed.stop()
    return 0


def check(config: Config, dataset: Dataset, folder: RunFolder) -> None:
    """What the config alone cannot tell: GPUs, model name, ranks, run folder. Raises ValueError."""
    devices.check()
    models.check(config.model, dataset.image_size, max(config.layers, default=0))
    resolve_precision(config.precision, torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    if config.compile:
        check_compiler(config.compile, "cuda" if torch.cuda.is_available() else "cpu")
    shards = VirtualShards.of(dataset.num_train, config.batch.labelled, config.unlabelled_batch)
    rank, world = distributed.launched_world()
    shards.check_world(world)
    _check_local_halves(config, world)
    generated = open_soft_labelled(config, dataset)
    shards.check_batch(config.unlabelled_batch, len(dataset.left_out_of(config)))
    _check_included_validation(config, dataset)
    if config.evaluation.select == "best_validation" and not dataset.validation:
        raise ValueError(
            f"evaluation.select=best_validation: {dataset.folder} has no validation images of its own; set validation=N"
        )
    folder.check()
    _check_same_generated(generated, folder)
    _check_start(config, dataset, folder)
    if rank == 0:
        folder.lock.claim()


def _check_included_validation(config: Config, dataset: Dataset) -> None:
    """Validation images can be drawn as unlabelled ones where they lie among them. Raises ValueError."""
    if config.unlabelled.include_validation and (not dataset.validation or dataset.validation.indices is None):
        where = "lie in validation.beton" if dataset.validation else "are none"
        raise ValueError(
            f"unlabelled.include_validation=true: the validation images of {dataset.folder} {where}, and have to be "
            "some of train.beton: set validation=N"
        )


def _check_same_generated(generated: SoftLabelled | None, folder: RunFolder) -> None:
    """A run goes on with the generated images and the annotation that it began with. Raises ValueError."""
    began = read_json(folder.path / "environment.json").get("augmented")
    if generated and began and last_saved_step(folder.checkpoints) and began != generated.provenance:
        raise ValueError(
            f"{folder.path}: began with other images or another annotation than {generated.groups.folder} has now: "
            "put those back, or choose another out="
        )


def _check_start(config: Config, dataset: Dataset, folder: RunFolder) -> None:
    """Layers of the network and the weights that a new run starts from. Raises ValueError."""
    if config.optimizer.layer_decay == 1 and not config.model.weights:
        return
    model = models.shapes(config.model, len(dataset.classes), dataset.image_size)
    layer_scales(model, config.optimizer.layer_decay)
    if not last_saved_step(folder.checkpoints):
        starting_weights(config, dataset, model)


def check_compiler(mode: str, device: str) -> None:
    """torch.compile builds code for a CPU and launchers of kernels for a GPU. Raises ValueError."""
    variable, *names = COMPILERS[device]
    if not any(shutil.which(name) for name in (os.environ.get(variable, names[0]), *names)):
        raise ValueError(f"compile={mode}: needs {' or '.join(names)}; install one, or leave compile out")


def _check_local_halves(config: Config, world: int) -> None:
    """mix=all draws from an easy and a hard half of each pool. Raises ValueError."""
    if config.mix == "all" and config.mixing.scope == "local" and config.batch.labelled < 2 * world:
        raise ValueError(
            f"mix=all with mixing.scope=local divides each rank's labelled images into easy and hard, but "
            f"batch.labelled={config.batch.labelled} gives {world} ranks fewer than 2 each: raise it to {2 * world}"
        )
