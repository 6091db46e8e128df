"""When things happen in a run, and how large its learning rate is: functions of the step, so nothing to save."""

import dataclasses
import math
from collections.abc import Callable

from pipeline.config import Config
from pipeline.config.checks import check
from pipeline.config.sections import OptimizerConfig

# Steps since the warm-up, steps from there to the end -> factor of the peak.
CURVES: dict[str, Callable[[float, float], float]] = {
    "cosine_7_16": lambda t, total: math.cos(7 / 16 * math.pi * t / total),  # of FixMatch: ends at .195
    "cosine": lambda t, total: 0.5 * (1 + math.cos(math.pi * t / total)),
    "constant": lambda t, total: 1.0,
}


def with_steps(config: Config, labelled: int) -> Config:
    """``config`` with the ``steps`` that its ``epochs`` over ``labelled`` images amount to. Raises ValueError."""
    if config.epochs is None:
        return config
    steps = max(1, round(config.epochs * labelled / config.epoch_batch))
    config = dataclasses.replace(config, steps=steps)
    check(config)
    return config


@dataclasses.dataclass(frozen=True, slots=True)
class Schedule:
    """Of a run over ``labelled`` images: an epoch sees each once.

    But with ``augmented.equal_data`` it sees as many images, generated ones included.
    """

    config: Config
    labelled: int

    def learning_rate(self, step: int) -> float:
        """At ``step`` (0-based): a linear warm-up, then the curve over the rest, or a drop at each milestone."""
        options, epoch = self.config.optimizer, self.labelled / self.config.epoch_batch
        top = peak(options, self.config.batch.labelled)
        warm_up = options.warmup_steps or options.warmup_epochs * epoch
        if step < warm_up:
            start = options.lr if options.lr_batch else 0.0
            return start + (top - start) * (step + 1) / math.ceil(warm_up)
        if options.schedule == "step":
            return top * options.gamma ** sum(step >= milestone * epoch for milestone in options.milestone_epochs)
        return top * CURVES[options.schedule](step - warm_up, self.config.steps - warm_up)

    def due(self, every: int | None, step: int) -> bool:
        """Whether what happens every ``every`` steps (None: at the end of each epoch) follows ``step`` steps done."""
        if every is not None:
            return step % every == 0
        batch = self.config.epoch_batch
        return step * batch // self.labelled > (step - 1) * batch // self.labelled


def peak(options: OptimizerConfig, batch: int) -> float:
    """The learning rate that a global ``batch`` is trained with: in proportion to it (Goyal et al. 2017), or as is."""
    return options.lr * batch / options.lr_batch if options.lr_batch else options.lr
