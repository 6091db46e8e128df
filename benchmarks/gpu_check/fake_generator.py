"""Steps and samples of a generator on pretended CUDA tensors: what waits for the device, or meets another, raises."""

from collections import Counter
from collections.abc import Iterator
from unittest.mock import patch

import torch
from torch._subclasses.fake_tensor import unset_fake_temporarily

from gpu_check.fake_cuda import DEVICE, FakeCuda, fake_cuda
from gpu_check.fake_step import Images, dataset, faked, group, ranks
from pipeline.config import generator
from pipeline.generator import training_run
from pipeline.generator.denoiser import Denoiser
from pipeline.generator.sampler import Sampler, conditioned
from pipeline.generator.train_loop import learn
from pipeline.generator.training_run import GeneratorRun

SIDE = 32


class Pretended(GeneratorRun):
    """Its weights are fake."""

    def _network(self) -> Denoiser:
        with unset_fake_temporarily(), torch.device("meta"):
            network = Denoiser(self.size, self.config.network.dropout)
        model = faked(network.to(memory_format=torch.channels_last), DEVICE)  # type: ignore[call-overload]
        assert isinstance(model, Denoiser)
        return model


def launches(sets: list[str]) -> Counter[str]:
    """Operations of the second step, and of two noise levels of the sampler. Raises DeviceWait or DeviceMixup."""
    config = generator.load(None, ["dataset=pretended", "steps=9", *sets])
    with group(1), fake_cuda(), patch.object(training_run, "TrainImages", Images):
        mode = FakeCuda()
        run = Pretended(config, dataset(SIDE), ranks(1), 1)
        with mode:
            for inputs in two(run):
                mode.launched.clear()
                with mode.phase("step"):
                    learn(run, inputs, False)
            with mode.phase("sampling"):
                sample(run)
    return mode.launched


def two(run: GeneratorRun) -> Iterator[training_run.Inputs]:
    batches = run.batches()
    yield next(batches)
    yield next(batches)


def sample(run: GeneratorRun) -> None:
    """Two noise levels, with guidance."""
    resolution = run.size.resolution
    noise = torch.empty(4, 3, resolution, resolution, device=DEVICE)
    labels = torch.empty(4, run.size.classes, device=DEVICE)
    Sampler(2).solve(noise, conditioned(run.model.eval(), labels, 2.0, run.numerics.autocast))
