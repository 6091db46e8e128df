"""Everything that changes while a run trains, and how it goes into a checkpoint and back."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pipeline import models
from pipeline.annotation.soft_labelled import augmented_source, open_soft_labelled
from pipeline.config import Config
from pipeline.config.options import LABELLED_MIXES
from pipeline.data.batches import PartSource, TrainImages, augmentation, part_sources
from pipeline.data.dataset import Dataset
from pipeline.data.streams import VirtualShards
from pipeline.distributed import Ranks, local_world
from pipeline.methods.algorithms import ALGORITHMS
from pipeline.methods.augmented import PART, Augmented
from pipeline.methods.mixes import MIXES
from pipeline.methods.mixing import Mixing
from pipeline.methods.objective import Objective, terms_of
from pipeline.methods.protocols import MethodContext
from pipeline.methods.step_types import Group, Inputs, Observed, PseudoLabels, StepOutput
from pipeline.models.numerics import Numerics
from pipeline.models.shared_batch_norm import share_statistics
from pipeline.randomness import seed_dropout
from pipeline.runs.host_tuning import cores
from pipeline.training.checkpoint import State, Tables, Writer, load_newest
from pipeline.training.data_parallel import data_parallel
from pipeline.training.evaluation import Evaluator
from pipeline.training.guard import Guard
from pipeline.training.label_quality import LabelQuality, hidden_labels
from pipeline.training.optimization import MovingAverage, build_optimizer, optimizer_state
from pipeline.training.passes import JointPasses, ObservingPasses, UnobservedPasses
from pipeline.training.progress import Progress, logged_names
from pipeline.training.schedule import Schedule
from pipeline.training.starting_weights import starting_weights
from pipeline.training.step import Passes, to_device

APM_TABLE = "mixing_sharded.table"  # where a checkpoint has the APM of a mix that tracks it


class TrainingRun:
    """The run's parts, built from the config: network, DDP wrapper, EMA, optimizer, methods, image streams."""

    def __init__(self, config: Config, dataset: Dataset, ranks: Ranks, threads: int) -> None:
        self.config, self.dataset, self.ranks = config, dataset, ranks
        normalisation = config.augment.normalisation, config.model.name
        self.numerics = Numerics(config.precision, dataset, ranks.device, *normalisation)
        self.num_classes = len(dataset.classes)
        self.model = self._network(dataset.image_size)
        self.ddp = data_parallel(self.model, dataset.image_size, self.numerics, ranks)
        self.optimizer = build_optimizer(self.model, config.optimizer)
        self.schedule = Schedule(config, len(dataset.split))
        self.labels = torch.from_numpy(dataset.train_labels).to(ranks.device)
        self.shards = VirtualShards.of(dataset.num_train, config.batch.labelled, config.unlabelled_batch)
        self.sources = part_sources(config, dataset, self.shards, ranks.rank, ranks.world)
        self.notes: list[str] = []
        self.provenance: dict[str, Any] = {}  # of what is not in the options, for environment.json
        self.augmented = self._open_generated(dataset)
        self.terms = terms_of(config)
        self.logged = logged_names(self.terms)
        self._build_methods(dataset)
        how = augmentation(dataset, config.augment)
        self.train_images = TrainImages(self.sources, dataset.image_size, how, config.seed, threads)
        self.evaluator = Evaluator(config, dataset, ranks, self.numerics, threads)
        self.progress = Progress(torch.zeros(len(self.logged) + 1, dtype=self.numerics.dtype, device=ranks.device))
        sizes = {name: source.order.size for name, source in self.sources.items()}
        self.guard = Guard(self.model, self.kept.values(), sizes, self.logged, self.progress.sums)
        self.optimizer.register_step_pre_hook(self.guard.hold_optimizer)
        self.ema = MovingAverage(self.model, config.ema, self.guard.broken)

    def _open_generated(self, dataset: Dataset) -> Augmented | None:
        """What is learned of generated images; they become a part of ``sources``, with lines for the user."""
        generated = open_soft_labelled(self.config, dataset)
        if generated is None:
            return None
        self.notes, self.provenance = generated.notes, {"augmented": generated.provenance}
        who = self.config, dataset, self.shards, self.ranks.rank, self.ranks.world
        self.sources[PART] = augmented_source(generated, *who)
        where = self.num_classes, self.ranks.device, self.numerics.dtype
        return Augmented(self.config, generated, *where)

    def _build_methods(self, dataset: Dataset) -> None:
        config = self.config
        context = _context(config, dataset, self.sources, self.shards, self.labels, self.numerics, self.ranks)
        self.algorithm = ALGORITHMS[config.algorithm](context)
        self.mix = MIXES[config.mix](context)
        self.mixing = Mixing(config, self.num_classes, self.labels, self.ranks, self.numerics)
        self.objective = Objective(config, self.num_classes)
        self.passes = self._passes()
        self.kept = {"algorithm": self.algorithm.state(), "mixing": self.mix.state()}
        hidden = hidden_labels(dataset, self.shards, context.num_rows, self.ranks)
        self.quality = LabelQuality(hidden, self.num_classes)

    def inputs(self) -> Iterator[Inputs]:
        """The batches from the current step on, on the device."""
        for batch in self.train_images.batches(self.progress.step, self.config.steps):
            if models.draws(self.config.model):
                seed_dropout(self.config.seed, batch.step, self.ranks.rank)
            yield to_device(batch, self.labels, self.ranks)

    def generated_groups(self, inputs: Inputs) -> list[Group]:
        """What the step learns of generated images; nothing where there are none."""
        return self.augmented.groups(inputs) if self.augmented else []

    @property
    def evaluated(self) -> nn.Module:
        """The model that evaluations and predictions are made with."""
        return self.ema.module if self.config.evaluation.weights == "ema" else self.model

    def agree(
        self, step: int, output: StepOutput, observed: Observed, pseudo: PseudoLabels, asked: bool
    ) -> tuple[Tensor, Tensor]:
        """After the backward pass: ``logged`` of the global batch, share of ranks ``asked`` to stop. See guard.py."""
        used = pseudo.weight.sum() / max(len(pseudo.weight), 1)
        absent = torch.zeros_like(output.loss)
        terms = [output.terms.get(term, absent) for term in self.terms]
        logged = torch.stack([output.loss, *terms, used.to(output.loss.dtype)])
        return self.guard.agree(step, logged, output, observed, asked)

    def check(self) -> None:
        """RunError on all ranks where a step since the start was not finite. Collective."""
        self.guard.check(self.sources, self.ranks)

    def start(self) -> list[str]:
        """Weights of a new run, by ``model.weights``; lines about them for the user. Raises ValueError."""
        start = starting_weights(self.config, self.dataset, self.model)
        self.model.load_state_dict(start.state, strict=False)
        self.ema.module.load_state_dict(self.model.state_dict())
        return [*start.notes, *self.notes]

    def save(self, writer: Writer) -> None:
        """The checkpoint of the current step; files follow while the run goes on. Collective."""
        writer.save(self.progress.step, self._state(), self._tables())

    def load(self, folder: Path) -> bool:
        """Restores the newest intact checkpoint, if there is one. Collective."""
        state, tables = self._state(), self._tables()
        if not load_newest(folder, state, tables, self.ranks):
            return False
        for name, sums in self.quality.state().items():
            sums.copy_(tables["quality"][name].sum(dim=0))
        if scaler := json.loads(state["scaler"]["state"]):
            self.numerics.scaler.load_state_dict(scaler)
        self.progress.load(state["progress"])
        return True

    def _state(self) -> State:
        """What is alike on all ranks; tensors by reference, so that loading fills them in place."""
        return {
            "model": self.model.state_dict(),
            "ema": self.ema.state_dict(),
            **optimizer_state(self.optimizer, self.model),
            "scaler": {"state": json.dumps(self.numerics.scaler.state_dict())},
            **{f"{name}_replicated": {**kept.replicated, **kept.labelled} for name, kept in self.kept.items()},
            "log": {"sums": self.progress.sums},
            "progress": self.progress.state(),
        }

    def _tables(self) -> Tables:
        """This rank's rows of what is kept of every unlabelled sample; and its own sums, which any ranks can add up."""
        sums = {name: self._as_rows(value) for name, value in self.quality.state().items()}
        return {**{f"{name}_sharded": dict(kept.sharded) for name, kept in self.kept.items()}, "quality": sums}

    def _as_rows(self, value: Tensor) -> Tensor:
        """A row for each virtual shard of this rank, which add up to ``value``."""
        rows = value.new_zeros((self.shards.count // self.ranks.world, *value.shape))
        rows[0] = value
        return rows

    def _passes(self) -> Passes:
        options, world, graphs = self.config.mixing, self.ranks.world, self.config.compile is not None
        ddp = self._compiled(self.ddp)
        joined = (PART,) if self.augmented and self.augmented.joined else ()
        shared: dict[str, Any] = {"options": options, "joined": joined, "graphs": graphs}
        if self.config.mix in LABELLED_MIXES:
            return UnobservedPasses(ddp, self.numerics, world, self.num_classes, **shared)
        if self.config.forward == "joint":
            return JointPasses(ddp, self.numerics, world, label=self._base_groups, **shared)
        model = self._compiled(self.model)
        return ObservingPasses(model, ddp, self.numerics, world, update_bn=options.update_bn, graphs=graphs)

    def _base_groups(self, inputs: Inputs, logits: Tensor) -> list[Group]:
        return self.objective.groups(inputs, self.algorithm.pseudo_label(logits, inputs.unlabelled.rows))

    def _compiled(self, module: nn.Module) -> nn.Module:
        """The same weights behind fixed-shape graphs; learn has two, before and after the warm-up."""
        if self.config.compile is None:
            return module
        compiled = torch.compile(module, mode=self.config.compile, dynamic=False)
        assert isinstance(compiled, nn.Module)
        return compiled

    def _network(self, image_size: int) -> nn.Module:
        config, ranks = self.config, self.ranks
        model = models.network(
            config.model, self.num_classes, config.seed, image_size, ranks.device, self.numerics.dtype
        )
        return share_statistics(model, ranks.world)


def _context(
    config: Config,
    dataset: Dataset,
    sources: dict[str, PartSource],
    shards: VirtualShards,
    labels: Tensor,
    numerics: Numerics,
    ranks: Ranks,
) -> MethodContext:
    return MethodContext(
        config=config,
        num_classes=len(dataset.classes),
        num_rows=shards.rows * shards.count // ranks.world if config.unlabelled_batch else 0,
        num_unlabelled=dataset.num_train - len(dataset.left_out_of(config)),
        labels=labels,
        repeats=sources["unlabelled"].order.repeats,
        labelled_repeats=sources["labelled"].order.repeats,
        dtype=numerics.dtype,
        device=ranks.device,
    )


def choose_threads(threads: int) -> int:
    """``threads``, or for 0 this machine's cores shared by its ranks."""
    return threads or max(1, cores() // local_world())
