"""The training loop: observe, pair, learn, step, and every so often log, evaluate, save. One page, top to bottom."""

import torch

from pipeline.config import Config
from pipeline.data.dataset import Dataset
from pipeline.distributed import Ranks
from pipeline.runs.folder import RunFolder
from pipeline.training.interruption import Interruption
from pipeline.training.log import RunLog
from pipeline.training.optimization import clip_gradient, set_learning_rate
from pipeline.training.step_profile import profiled
from pipeline.training.training_run import TrainingRun, choose_threads


def train(config: Config, dataset: Dataset, ranks: Ranks, folder: RunFolder) -> TrainingRun:
    """The whole run, from the newest checkpoint or from step 0 to result.json; returns its parts as they ended."""
    threads = choose_threads(config.threads)
    torch.set_num_threads(threads)
    run = TrainingRun(config, dataset, ranks, threads)
    resumed = run.load(folder.checkpoints)
    notes = [f"{folder.path}: resumes from step {run.progress.step}"] if resumed else run.start()
    model, ema, optimizer, scaler, schedule = run.model, run.ema, run.optimizer, run.numerics.scaler, run.schedule
    log = RunLog(run, folder, threads)

    with log.view, Interruption(ranks.device) as interruption:
        for note in notes:
            log.view.say(note)
        batches = profiled(run, folder.path, log.view) if config.profile else run.inputs()
        for inputs in () if log.ended() else batches:
            step = inputs.step + 1
            set_learning_rate(optimizer, schedule.learning_rate(inputs.step))
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

            # learn: one forward and backward of all groups, such as [labelled, strong, mixed, generated]
            output = run.passes.learn(inputs, observed, [*groups, *run.generated_groups(inputs)])
            optimizer.zero_grad()
            scaler.scale(output.loss).backward()
            if config.optimizer.clip:
                scaler.unscale_(optimizer)
                clip_gradient(model, config.optimizer.clip)

            # step: held from the first loss on that is not finite
            logged, asked_to_stop = run.agree(step, output, observed, pseudo, interruption.requested)
            scaler.step(optimizer)
            scaler.update()
            ema.update()
            run.progress.add(step, logged)
            run.quality.add(inputs.unlabelled.rows, pseudo)

            # log, evaluate, save
            last = step == config.steps
            if last or schedule.due(config.log_every, step):
                log.training()
            if last or schedule.due(config.eval_every, step):
                last |= log.evaluation()
            if last or schedule.due(config.checkpoint_every, step):
                log.save()
            if last:
                break
            if interruption.agreed(asked_to_stop):
                log.stop()
                return run
        log.finish()
    return run
