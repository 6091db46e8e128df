"""Everything that changes while a generator trains, the batches that it sees, and how it goes into a checkpoint."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pipeline.augment.kernels import Augmentation
from pipeline.config.generator import GeneratorConfig, NetworkConfig
from pipeline.config.sections import EmaConfig
from pipeline.data.batches import HostPart, PartSource, TrainImages
from pipeline.data.dataset import Dataset
from pipeline.data.streams import VirtualShards, labelled_order
from pipeline.distributed import Ranks, all_reduce_mean
from pipeline.generator.denoiser import Denoiser
from pipeline.generator.resolution import Reduction
from pipeline.generator.unet import NetworkSize
from pipeline.models.numerics import Numerics
from pipeline.randomness import DIFFUSION, LABELLED, UNCONDITIONAL, normals, seed_dropout, uniforms
from pipeline.training.checkpoint import State, Writer, load_newest
from pipeline.training.data_parallel import settled
from pipeline.training.failures import RunError
from pipeline.training.guard import hold
from pipeline.training.optimization import MovingAverage
from pipeline.training.progress import Progress

Inputs = tuple[int, Tensor, Tensor, Tensor]  # step, images [B, 3, R, R], draws [B, 1 + 3RR], labels [B, K]


class GeneratorRun:
    """The run's parts: network, DDP wrapper, optimizer, average of weights, images. ``broken`` [] as the guard's."""

    def __init__(self, config: GeneratorConfig, dataset: Dataset, ranks: Ranks, threads: int) -> None:
        self.config, self.dataset, self.ranks, device = config, dataset, ranks, ranks.device
        self.numerics = Numerics(config.precision, dataset, device)
        self.size = network_size(config.network, resolution_of(config, dataset), len(dataset.classes))
        self.model = self._network()
        self.ddp = settled(self.model, self._first_pass, ranks)
        self.optimizer = _adam(self.model, config)
        self.broken = torch.zeros((), device=device)
        self.optimizer.register_step_pre_hook(lambda optimizer, *_: hold(optimizer, self.broken))
        self.ema = MovingAverage(self.model, EmaConfig(decay=config.decay(0)), self.broken)
        self.progress = Progress(torch.zeros(2, device=device))
        self._open_images(threads)

    def _open_images(self, threads: int) -> None:
        config, dataset, ranks = self.config, self.dataset, self.ranks
        shards = VirtualShards.of(dataset.num_train, config.batch, 0)
        who = config.seed, ranks.rank, ranks.world
        self.order = labelled_order(dataset.split, shards, config.batch, *who, sharded=config.labels == "all")
        sources = {"labelled": PartSource(dataset.train_beton, self.order, LABELLED, strong=False)}
        flip = dataset.flip if config.flip is None else config.flip
        self.images = TrainImages(sources, dataset.stored_size, Augmentation(0, flip), config.seed, threads)
        self.reduction = Reduction(config.reduce, self.size.resolution, dataset.stored_size, ranks.device)
        classes = self.size.classes
        self.conditions = torch.cat([torch.eye(classes), torch.zeros(1, classes)]).to(ranks.device)  # the last: none

    def batches(self) -> Iterator[Inputs]:
        """Those of this rank from the current step on, on the device. The global batch is the same on any ranks."""
        for batch in self.images.batches(self.progress.step, self.config.steps):
            if self.config.network.dropout:
                seed_dropout(self.config.seed, batch.step, self.ranks.rank)
            yield self._inputs(batch.step, batch.parts["labelled"])

    def _inputs(self, step: int, part: HostPart) -> Inputs:
        seed, mine = self.config.seed, self.order.mine
        place = np.arange(len(part.index))[mine]
        visit = np.full(len(place), step)
        draws = normals(seed, DIFFUSION, visit, place, 1 + 3 * self.size.resolution**2)
        labels = self.dataset.train_labels[part.rows[mine]]
        if self.config.label_dropout:
            free = uniforms(seed, UNCONDITIONAL, visit, place) < self.config.label_dropout
            labels = np.where(free, self.size.classes, labels)
        images = self.reduction(part.weak.to(self.ranks.device, non_blocking=True))
        return step, images, self._put(draws), self.conditions[self._put(labels)]

    def _put(self, values: np.ndarray) -> Tensor:
        """On the device, without waiting for it."""
        host = torch.from_numpy(values)
        pinned = host.pin_memory() if torch.cuda.is_available() else host
        return pinned.to(self.ranks.device, non_blocking=True)

    @torch.no_grad()
    def agree(self, loss: Tensor, asked: bool) -> tuple[Tensor, Tensor]:
        """After the backward pass: loss [1] of the global batch, share [] of ranks that were asked to stop.

        From the first step on that was not finite, weights and average stay as they were. fp16 gradients that
        overflow are not this: the scaler skips such a step.
        """
        shared = all_reduce_mean(torch.stack([loss.detach(), torch.full_like(loss, float(asked))]))
        finite = shared[0].isfinite()
        if not self.numerics.scaler.is_enabled():
            gradients = [p.grad for p in self.model.parameters() if p.grad is not None]
            finite = finite & nn.utils.get_total_norm(gradients).isfinite()
        self.broken.copy_(torch.maximum(self.broken, (~finite).to(self.broken.dtype)))
        return shared[:1], shared[1]

    def check(self) -> None:
        """RunError on all ranks where a step since the start was not finite; this asks the device."""
        if self.broken.item():
            raise RunError(
                f"before step {self.progress.step}: loss or gradient not finite. Nothing since then was kept; start "
                "another run (out=) with a lower adam.lr or precision=fp32"
            )

    def save(self, writer: Writer) -> None:
        """The checkpoint of the current step; files follow while the run goes on. Collective."""
        writer.save(self.progress.step, self._state(), {})

    def load(self, folder: Path) -> bool:
        """Restores the newest intact checkpoint, if there is one. Collective."""
        state = self._state()
        if not load_newest(folder, state, {}, self.ranks):
            return False
        if scaler := json.loads(state["scaler"]["state"]):
            self.numerics.scaler.load_state_dict(scaler)
        self.progress.load(state["progress"])
        return True

    def _state(self) -> State:
        """What is alike on all ranks; tensors by reference, so that loading fills them in place."""
        adam = {
            f"adam_{kind}": {name: self.optimizer.state[p][kind] for name, p in self.model.named_parameters()}
            for kind in ("step", "exp_avg", "exp_avg_sq")
        }
        return {
            "model": self.model.state_dict(),
            "ema": self.ema.module.state_dict(),
            **adam,
            "scaler": {"state": json.dumps(self.numerics.scaler.state_dict())},
            "log": {"sums": self.progress.sums},
            "progress": self.progress.state(),
        }

    def _network(self) -> Denoiser:
        torch.manual_seed(self.config.seed)
        network = Denoiser(self.size, self.config.network.dropout)
        network.to(self.ranks.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        return network

    def _first_pass(self, ddp: nn.Module) -> Tensor:
        side, device = self.size.resolution, self.ranks.device
        images = torch.zeros(2, 3, side, side, device=device).contiguous(memory_format=torch.channels_last)
        with self.numerics.autocast():
            out = ddp(images, torch.ones(2, device=device), torch.zeros(2, self.size.classes, device=device))
        assert isinstance(out, Tensor)
        return out


def resolution_of(config: GeneratorConfig, dataset: Dataset) -> int:
    """Side in pixels of what the generator makes."""
    return config.resolution or dataset.stored_size


def network_size(config: NetworkConfig, resolution: int, classes: int) -> NetworkSize:
    """The options as one size."""
    levels, attention = config.levels, config.attention_resolutions
    return NetworkSize(resolution, classes, config.channels, levels, config.blocks, attention)


def _adam(model: nn.Module, config: GeneratorConfig) -> torch.optim.Adam:
    """Its moments are made here, of zeros as its own first step would, so that a checkpoint can be loaded into them."""
    parameters, options = list(model.parameters()), config.adam
    optimizer = torch.optim.Adam(parameters, options.lr, (options.beta1, options.beta2), fused=True)
    for parameter in parameters:
        state: dict[str, Any] = optimizer.state[parameter]
        state["step"] = torch.zeros((), device=parameter.device)
        state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(parameter), torch.zeros_like(parameter)
    return optimizer
