"""Trains one run: ``torchrun --standalone --nproc_per_node=G pipeline/train.py --config configs/digits.yaml``.

With one rank ``python pipeline/train.py ...`` works too. Any option: ``--set a.b=c``; all options: ``--help``.
Starting in a run folder that holds a checkpoint goes on from it; a finished run ends at once.
"""

import argparse
import os
import shutil
import sys
from collections.abc import Sequence

from pipeline.runs.host_tuning import tune_host

tune_host()  # before torch loads the libraries that read it

import torch

from pipeline import config as configuration
from pipeline import distributed, models
from pipeline.config.options import Config
from pipeline.data.dataset import Dataset, open_dataset
from pipeline.data.streams import VirtualShards
from pipeline.distributed import Ranks
from pipeline.models.numerics import resolve_precision
from pipeline.runs.folder import RunFolder
from pipeline.training.failures import following_failures, report
from pipeline.training.interruption import Interruption
from pipeline.training.log import RunLog
from pipeline.training.optimization import learning_rate, set_learning_rate
from pipeline.training.step_profile import profiled
from pipeline.training.training_run import TrainingRun, choose_threads

COMPILERS = (os.environ.get("CXX", "g++"), "g++", "clang++")  # where torch.compile looks without a GPU


def train(config: Config, dataset: Dataset, ranks: Ranks, folder: RunFolder) -> TrainingRun:
    """The whole run, from the newest checkpoint or from step 0 to result.json; returns its parts as they ended."""
    threads = choose_threads(config)
    torch.set_num_threads(threads)
    run = TrainingRun(config, dataset, ranks, threads)
    resumed = run.load(folder.checkpoints)
    model, ema, optimizer, scaler = run.model, run.ema, run.optimizer, run.numerics.scaler
    log = RunLog(run, folder, threads)

    with log.view, Interruption(ranks.device) as interruption:
        if resumed:
            log.view.say(f"{folder.path}: resumes from step {run.progress.step}")
        for inputs in profiled(run, folder.path, log.view) if config.profile else run.inputs():
            step = inputs.step + 1
            set_learning_rate(optimizer, learning_rate(config.optimizer.lr, inputs.step, config.steps))
            model.train()
            run.guard.remember(inputs)

            # observe: pseudo-labels and margins from the weak views
            observed = run.passes.observe(inputs)
            pseudo = run.algorithm.pseudo_label(observed.unlabelled.logits, inputs.unlabelled.rows)
            run.mix.track(inputs, observed)

            # pair: easy with hard, after the warm-up
            groups = run.objective.groups(inputs, pseudo)
            if inputs.step >= config.warmup:
                groups = run.mix.groups(groups, run.mixing.pool(inputs, observed, pseudo))

            # learn: one forward and backward of all groups, such as [labelled, strong, mixed]
            output = run.passes.learn(inputs, observed, groups)
            optimizer.zero_grad()
            scaler.scale(output.loss).backward()

            # step: held from the first loss on that is not finite
            logged, asked_to_stop = run.agree(step, output, observed, pseudo, interruption.requested)
            scaler.step(optimizer)
            scaler.update()
            ema.update()
            run.progress.add(step, logged)
            run.quality.add(inputs.unlabelled.rows, pseudo)

            # log, evaluate, save
            last = step == config.steps
            if last or step % config.log_every == 0:
                log.training()
            if last or step % config.eval_every == 0:
                log.evaluation()
            if last or step % config.checkpoint_every == 0:
                log.save()
            if interruption.agreed(asked_to_stop) and not last:
                log.stop()
                return run
        log.finish()
    return run


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code: 2 for a user's mistake, said in one line by rank 0."""
    given = _parser().parse_args(arguments)
    try:
        config = configuration.load(given.config, given.set)
        folder = RunFolder(config)
        if folder.is_finished:
            folder.check()
            _say(f"{folder.path}: finished already; nothing to do (result.json)")
            return 0
        dataset = open_dataset(config)
        check(config, dataset, folder)
    except ValueError as error:
        _say(f"error: {error}", sys.stderr)
        return 2
    ranks = distributed.start()
    try:
        with following_failures(ranks):
            train(config, dataset, ranks, folder)
    except Exception as error:
        report(error, ranks, folder)
        return 1
    finally:
        folder.lock.release()
        distributed.stop()
    return 0


def check(config: Config, dataset: Dataset, folder: RunFolder) -> None:
    """What the config alone cannot tell: model name, ranks, run folder. Raises ValueError."""
    models.check(config.model.name)
    resolve_precision(config.precision, torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    if config.compile and not torch.cuda.is_available() and not any(map(shutil.which, COMPILERS)):
        raise ValueError(f"compile={config.compile}: needs a C++ compiler without a GPU; install g++ or leave it out")
    shards = VirtualShards.of(dataset.num_train, config.batch.labelled, config.unlabelled_batch)
    rank, world = distributed.launched_world()
    shards.check_world(world)
    shards.check_batch(config.unlabelled_batch, 0 if config.unlabelled.include_labelled else len(dataset.split))
    folder.check()
    if rank == 0:
        folder.lock.claim()


def _say(text: str, stream: object = None) -> None:
    if distributed.launched_world()[0] == 0:
        print(text, file=stream or sys.stdout)  # type: ignore[arg-type]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description="Train one run.",
        epilog="options of --config and --set:\n" + configuration.describe(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--config", help="YAML file of options")
    parser.add_argument("--set", nargs="+", action="extend", default=[], metavar="a.b=c", help="options over the file")
    return parser


if __name__ == "__main__":
    sys.exit(main())
