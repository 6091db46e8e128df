"""Everything that changes while a run trains, and how it goes into a checkpoint and back."""

import inspect
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from pipeline import models
from pipeline.config.options import Config
from pipeline.data.batches import TrainImages
from pipeline.data.central_crops import CentralCrops
from pipeline.data.dataset import Dataset
from pipeline.data.streams import Order, VirtualShards
from pipeline.distributed import Ranks, local_world
from pipeline.methods.algorithms import ALGORITHMS
from pipeline.methods.mixes import MIXES
from pipeline.methods.mixing import Pool, mix_images
from pipeline.methods.protocols import Problem, PseudoLabels
from pipeline.models.numerics import Numerics
from pipeline.runs.host_tuning import cores
from pipeline.training.checkpoint import State, Tables, Writer, load_newest
from pipeline.training.guard import Guard
from pipeline.training.joint import Joint
from pipeline.training.label_quality import LabelQuality
from pipeline.training.optimization import MovingAverage, build_optimizer
from pipeline.training.step import TERMS, Inputs, Mixed, Objective, Observed, Passes, Split, to_device

# Newer torch has a new name for it and warns at the old one.
_DDP_OPTIONS = inspect.signature(DistributedDataParallel.__init__).parameters
_SYNC = next(name for name in ("forward_sync_buffers", "broadcast_buffers") if name in _DDP_OPTIONS)
NO_BUFFER_SYNC: dict[str, Any] = {_SYNC: False}


@dataclass(slots=True)
class Progress:
    """Steps done, and what the log needs across a restart.

    ``sums``: of the steps since the last training line, on the device, the same on all ranks: TERMS, then their number.
    """

    sums: Tensor
    step: int = 0
    seconds: float = 0.0
    best: dict[str, float] = field(default_factory=dict)

    def add(self, step: int, terms: Tensor) -> None:
        """``step`` steps are done; ``terms`` [TERMS] of the newest, without a host synchronisation."""
        self.step = step
        self.sums[:-1] += terms
        self.sums[-1] += 1


class Training:
    """The run's parts, built from the config: network, DDP wrapper, EMA, optimizer, mixing, image streams."""

    def __init__(self, config: Config, dataset: Dataset, ranks: Ranks, threads: int) -> None:
        self.config, self.ranks, self.split = config, ranks, dataset.split
        self.numerics = Numerics(config.precision, dataset, ranks.device, config.augment.normalisation)
        self.num_classes = len(dataset.classes)
        self.model = self._network()
        self.ddp = self._wrap(self.model, dataset.image_size)
        self.optimizer = build_optimizer(self.model, config.optimizer)
        self.labels = torch.from_numpy(dataset.train_labels).to(ranks.device)
        batches = config.batch.labelled, config.unlabelled_batch
        self.shards = VirtualShards.of(dataset.num_train, *batches)
        order = build_order(config, dataset, self.shards, ranks)
        problem = self._problem(dataset, order)
        self.algorithm = ALGORITHMS[config.algorithm](problem)
        self.mix = MIXES[config.mix](problem)
        self.objective = Objective(config, self.num_classes, self.numerics)
        self.passes = self._passes()
        self.quality = LabelQuality(self._hidden_labels(dataset, problem.num_rows), self.num_classes)
        place = ranks.rank, ranks.world
        self.train_images = TrainImages(dataset, order, batches, *place, config.seed, config.augment, threads)
        self.test_images = CentralCrops(
            dataset.test_beton, dataset.image_size, config.eval_batch, threads, rank=ranks.rank, world=ranks.world
        )
        self.progress = Progress(torch.zeros(len(TERMS) + 1, dtype=self.numerics.dtype, device=ranks.device))
        self.kept = {"algorithm": self.algorithm.state(), "mixing": self.mix.state()}
        sizes = batches[0] // ranks.world, batches[1] // ranks.world
        self.guard = Guard(self.model, self.kept.values(), sizes, self.progress.sums[:-1])
        self.optimizer.register_step_pre_hook(self.guard.hold_optimizer)
        self.ema = MovingAverage(self.model, config.ema, self.guard.broken)

    def inputs(self) -> Iterator[Inputs]:
        """The batches from the current step on, on the device."""
        for batch in self.train_images.batches(self.progress.step, self.config.steps):
            yield to_device(batch, self.split, self.labels, batch.rows, self.ranks)

    @property
    def evaluated(self) -> nn.Module:
        """The model that evaluations and predictions are made with."""
        return self.ema.module if self.config.evaluation.weights == "ema" else self.model

    def mixed(self, inputs: Inputs, seen: Observed, pseudo: PseudoLabels) -> Mixed | None:
        """This rank's mixed images of the step, none before the warm-up is over."""
        if inputs.step < self.config.warmup:
            return None
        pool = Pool(inputs, self.config.mixing, self.ranks, self.numerics)
        pairs = self.mix.pair(inputs, seen, pseudo, pool)
        return mix_images(pairs, pool, seen, pseudo, self.labels, self.num_classes)

    def settle(self, step: int, terms: Tensor, seen: Observed, asked: bool) -> tuple[Tensor, Tensor]:
        """After the backward pass: terms of the global batch, share of ranks ``asked`` to stop. See guard.py."""
        return self.guard.settle(step, terms, self.objective.losses, seen, asked)

    def check(self) -> None:
        """RunError on all ranks where a step since the start was not finite. Collective."""
        self.guard.check(self.train_images.order, self.ranks)

    def save(self, writer: Writer) -> None:
        """The checkpoint of the current step; files follow while the run goes on. Collective."""
        writer.save(self.progress.step, self._state(), self._tables())

    def load(self, folder: Path) -> bool:
        """Goes on from the newest intact checkpoint, if there is one. Collective."""
        state, tables = self._state(), self._tables()
        if not load_newest(folder, state, tables, self.ranks):
            return False
        for name, sums in self.quality.state().items():
            sums.copy_(tables["quality"][name].sum(dim=0))
        self.numerics.scaler.load_state_dict(state["scaler"])
        saved = state["progress"]
        self.progress.step, self.progress.seconds, self.progress.best = saved["step"], saved["seconds"], saved["best"]
        return True

    def _state(self) -> State:
        """What is alike on all ranks; tensors by reference, so that loading fills them in place."""
        momentum = {
            name: self.optimizer.state[p]["momentum_buffer"]
            for name, p in self.model.named_parameters()
            if p.requires_grad
        }
        progress = self.progress
        return {
            "model": self.model.state_dict(),
            "ema": self.ema.state_dict(),
            "momentum": momentum,
            "scaler": self.numerics.scaler.state_dict(),
            **{
                f"{name}_replicated": state["replicated"] | state.get("labelled", {})
                for name, state in self.kept.items()
            },
            "log": {"sums": progress.sums},
            "progress": {"step": progress.step, "seconds": progress.seconds, "best": dict(progress.best)},
        }

    def _tables(self) -> Tables:
        """This rank's rows of what is kept of every unlabelled sample; and its own sums, which any ranks can add up."""
        sums = {name: self._as_rows(value) for name, value in self.quality.state().items()}
        return {**{f"{name}_sharded": kept["sharded"] for name, kept in self.kept.items()}, "quality": sums}

    def _as_rows(self, value: Tensor) -> Tensor:
        """A row for each virtual shard of this rank, which add up to ``value``."""
        rows = value.new_zeros((self.shards.count // self.ranks.world, *value.shape))
        rows[0] = value
        return rows

    def _problem(self, dataset: Dataset, order: Order) -> Problem:
        config, shards = self.config, self.shards
        labelled_share = order.shares[0]
        return Problem(
            config,
            self.num_classes,
            shards.rows * shards.count // self.ranks.world if config.unlabelled_batch else 0,
            dataset.num_train - (0 if config.unlabelled.include_labelled else len(dataset.split)),
            self.numerics.dtype,
            self.ranks.device,
            self.labels,
            order.repeats,
            max(-(-labelled_share // len(stream.members)) for stream in order.labelled) + 1,
        )

    def _passes(self) -> Passes:
        if self.config.forward == "joint":
            return Joint(self._compiled(self.ddp), self.algorithm, self.config.mixing, self.objective)
        needed = self.config.unlabelled_batch > 0 or self.mix.observes
        return Split(self._compiled(self.model), self._compiled(self.ddp), needed, self.objective)

    def _compiled(self, module: nn.Module) -> nn.Module:
        """The same weights behind fixed-shape graphs; learn has two, before and after the warm-up."""
        if self.config.compile is None:
            return module
        compiled = torch.compile(module, mode=self.config.compile, dynamic=False)
        assert isinstance(compiled, nn.Module)
        return compiled

    def _hidden_labels(self, dataset: Dataset, num_rows: int) -> Tensor:
        """True labels by this rank's table rows, where the data set knows them."""
        hidden = torch.full((num_rows,), -1, dtype=torch.int64)
        if num_rows:
            owned = self.shards.owned(self.ranks.rank, self.ranks.world)
            positions = np.arange(self.shards.bounds(owned[0])[0], self.shards.bounds(owned[-1])[1])
            rows = self.shards.row_of(positions, self.ranks.rank, self.ranks.world)
            hidden[torch.from_numpy(rows)] = torch.from_numpy(dataset.hidden_labels[positions])
        return hidden.to(self.ranks.device)

    def _network(self) -> nn.Module:
        config, ranks = self.config, self.ranks
        model = models.network(config.model, self.num_classes, config.seed, ranks.device, self.numerics.dtype)
        if ranks.world > 1 and ranks.device.type == "cuda":
            model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
        return model

    def _wrap(self, model: nn.Module, image_size: int) -> nn.Module:
        """DDP, its gradient buckets settled.

        DDP orders its buckets anew after the first backward; a resumed run would do so at another step and, from
        three ranks on, add in another order. So the first backward is one of zeros, here, that leaves no trace.
        Buffers are not DDP's business: see guard.py.
        """
        if self.ranks.world == 1:
            return model
        ddp = DistributedDataParallel(model, **NO_BUFFER_SYNC)
        before = [b.clone() for b in model.buffers()]
        images = torch.zeros(2, 3, image_size, image_size, dtype=self.numerics.dtype, device=self.ranks.device)
        with self.numerics.autocast():
            logits, _ = ddp(images.contiguous(memory_format=torch.channels_last))
        (logits.sum() * 0).backward()
        for buffer, saved in zip(model.buffers(), before, strict=True):
            buffer.copy_(saved)
        model.zero_grad()
        return ddp


def build_order(config: Config, dataset: Dataset, shards: VirtualShards, ranks: Ranks) -> Order:
    """The streams of this rank."""
    return Order(
        dataset.split,
        shards,
        (config.batch.labelled, config.unlabelled_batch),
        config.unlabelled.include_labelled,
        config.labels == "all",
        config.seed,
        ranks.rank,
        ranks.world,
    )


def choose_threads(config: Config) -> int:
    """``config.threads``, or this machine's cores shared by its ranks."""
    return config.threads or max(1, cores() // local_world())
