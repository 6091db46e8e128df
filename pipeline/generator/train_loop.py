"""The training loop of a generator, top to bottom, and what is checked before it starts."""

import torch
from torch import Tensor

from pipeline import devices, distributed
from pipeline.config.generator import GeneratorConfig
from pipeline.data.dataset import Dataset, open_dataset
from pipeline.data.streams import VirtualShards
from pipeline.distributed import Ranks
from pipeline.generator.denoiser import training_loss
from pipeline.generator.log import GeneratorLog
from pipeline.generator.pseudo_labels import with_pseudo_labels
from pipeline.generator.resolution import check_resolution
from pipeline.generator.training_run import GeneratorRun, Inputs, network_size, resolution_of
from pipeline.generator.unet import is_possible
from pipeline.models.numerics import resolve_precision
from pipeline.runs.folder import RunFolder
from pipeline.training.interruption import Interruption
from pipeline.training.launch import on_ranks
from pipeline.training.optimization import set_learning_rate
from pipeline.training.training_run import choose_threads


def launch(config: GeneratorConfig) -> int:
    """Trains the generator; the exit code: 1 where it failed, after a report. ValueError for a mistake."""
    labelled, folder = open_dataset(config.labelled_data), RunFolder(config)
    dataset = with_pseudo_labels(config, labelled)
    check(config, dataset)
    folder.check()
    if distributed.launched_world()[0] == 0:
        folder.lock.claim()
    return on_ranks(folder, lambda ranks: train(config, dataset, ranks, folder))


def check(config: GeneratorConfig, dataset: Dataset) -> None:
    """What the options alone cannot tell. Raises ValueError."""
    devices.check()
    resolve_precision(config.precision, torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    if len(dataset.classes) < 2:
        raise ValueError(f"{dataset.folder}: has one class; a generator for images between classes needs two or more")
    resolution = resolution_of(config, dataset)
    check_resolution(resolution, dataset.stored_size, len(config.network.levels), "resolution")
    if not is_possible(network_size(config.network, resolution, len(dataset.classes))):
        raise ValueError(
            f"network.channels={config.network.channels}: some layer's channels cannot be divided into groups for its "
            "norm; choose a multiple of 32"
        )
    shards = VirtualShards.of(dataset.num_train, config.batch, 0)
    shards.check_world(distributed.launched_world()[1])


def train(config: GeneratorConfig, dataset: Dataset, ranks: Ranks, folder: RunFolder) -> GeneratorRun:
    """The whole run, from the newest checkpoint or from step 0 to result.json; returns its parts as they ended."""
    threads = choose_threads(config.threads)
    torch.set_num_threads(threads)
    run = GeneratorRun(config, dataset, ranks, threads)
    resumed = run.load(folder.checkpoints)
    log = GeneratorLog(run, folder, threads)

    with log.view, Interruption(ranks.device) as interruption:
        if resumed:
            log.view.say(f"{folder.path}: resumes from step {run.progress.step}")
        for inputs in run.batches():
            asked_to_stop = learn(run, inputs, interruption.requested)
            step = run.progress.step
            last = step == config.steps
            if last or step % config.log_every == 0:
                log.training()
            if last or step % config.sheet_every == 0:
                log.sheet()
            if last or step % config.checkpoint_every == 0:
                log.save()
            if not last and interruption.agreed(asked_to_stop):
                log.stop()
                return run
        log.finish()
    return run


def learn(run: GeneratorRun, inputs: Inputs, asked: bool) -> Tensor:
    """One step, without waiting for the device; the share [] of ranks that were ``asked`` to stop."""
    before, images, draws, labels = inputs
    optimizer, scaler = run.optimizer, run.numerics.scaler
    set_learning_rate(optimizer, run.config.learning_rate(before))
    run.ema.rate = 1 - run.config.decay(before)
    with run.numerics.autocast():
        loss = training_loss(run.ddp, images, draws, labels)
    optimizer.zero_grad()
    scaler.scale(loss).backward()
    logged, asked_to_stop = run.agree(loss, asked)
    scaler.step(optimizer)
    scaler.update()
    run.ema.update()
    run.progress.add(before + 1, logged)
    return asked_to_stop
