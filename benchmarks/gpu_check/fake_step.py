"""Steps of the trainer's own loop on pretended CUDA tensors: which operations each act of a step launches."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch._subclasses.fake_tensor import unset_fake_temporarily
from torch.testing._internal.distributed.fake_pg import FakeStore

from gpu_check.fake_cuda import DEVICE, FakeCuda, fake_cuda
from pipeline import config as configuration
from pipeline import models
from pipeline.annotation.packed import Groups
from pipeline.annotation.soft_labelled import ENCODED, SoftLabelled
from pipeline.annotation.stored import Annotation
from pipeline.config import Config
from pipeline.config.sections import ModelConfig
from pipeline.data.batches import Batch, HostPart, PartSource
from pipeline.data.dataset import Dataset
from pipeline.data.group_order import GroupsByClass, Places
from pipeline.distributed import Ranks
from pipeline.methods.step_types import Inputs
from pipeline.training import evaluation, loop, training_run
from pipeline.training.training_run import TrainingRun

NUM_TRAIN, NUM_LABELLED, CLASSES, PLACES = 2000, 40, 10, 8
SIZES = {"wrn-37-2": 96, "resnet-50": 224}  # pixels; others 32
PHASES = (
    "observe", "label", "track", "pair", "mix", "learn", "backward", "remember", "settle", "optimizer", "EMA", "log",
    "other",
)  # fmt: skip


class Enough(Exception):
    """Leaves the loop."""


def launches(sets: Sequence[str], world: int = 1, steps: int = 2) -> Counter[str]:
    """Operations of one step by phase, with the options ``sets``, on rank 0 of ``world``.

    The first of ``steps`` makes some things that stay, so the last is counted; one is enough to see what raises.
    Raises DeviceWait, DeviceMixup, or whatever the step itself does not survive; ValueError for impossible options.
    """
    fixed = ["dataset=pretended", "steps=100", "warmup_steps=0"]
    config = configuration.load(None, [*fixed, *sets])
    with group(world), fake_cuda(), ExitStack() as patches:
        mode = FakeCuda()
        for place, name, stand_in in _stand_ins(mode, steps):
            patches.enter_context(patch.object(place, name, stand_in))
        with suppress(Enough):
            folder: Any = _Nothing()
            loop.train(config, dataset(SIZES.get(config.model.name, 32)), ranks(world), folder)
    return mode.launched


def ranks(world: int) -> Ranks:
    """Rank 0 of ``world``, on the pretended GPU. No group but the first is needed in a step."""
    nothing: Any = None
    return Ranks(**dict.fromkeys(Ranks.__dataclass_fields__, nothing) | {"rank": 0, "world": world, "device": DEVICE})


def dataset(size: int) -> Dataset:
    """Of images that nobody reads."""
    random = np.random.RandomState(0)
    labels = random.randint(0, CLASSES, NUM_TRAIN)
    split = np.sort(random.permutation(NUM_TRAIN)[:NUM_LABELLED])
    return Dataset(
        folder=Path("pretended"),
        classes=[str(c) for c in range(CLASSES)],
        image_size=size,
        stored_size=size,
        crop_padding=4,
        flip=True,
        mean=(0.5,) * 3,
        std=(0.25,) * 3,
        split=split,
        num_train=NUM_TRAIN,
        train_labels=labels[split],
        hidden_labels=labels,
    )


def soft_labelled(config: Config, data: Dataset) -> SoftLabelled | None:
    """Groups of images that nobody reads, two between each class and the next."""
    if config.augmented.dataset is None:
        return None
    first, count = np.arange(CLASSES - 1).repeat(2), 2 * (CLASSES - 1) * PLACES
    nothing: Any = None
    ratios = np.arange(PLACES) / (PLACES - 1)
    groups = Groups(Path("pretended"), "pretended", data.classes, data.stored_size, first, first + 1, ratios, None, "")
    known = {"lambda_e": np.zeros(count, np.float32), "zero_shot": np.ones((count, CLASSES), np.float32)}
    known["prototypes"] = np.zeros((CLASSES, 1), np.float32)
    annotation = Annotation(**dict.fromkeys(Annotation.__dataclass_fields__, nothing) | known)
    by_class, places = GroupsByClass.of(first, first + 1, CLASSES), Places.of(config.augmented, PLACES)
    return SoftLabelled(groups, annotation if config.augmented.labels in ENCODED else None, by_class, places, [])


@contextmanager
def group(world: int) -> Iterator[None]:
    """A process group whose collectives return at once what they were given: torch's fake backend."""
    dist.init_process_group("fake", store=FakeStore(), rank=0, world_size=world)
    try:
        yield
    finally:
        dist.destroy_process_group()


class Images:
    """In the place of TrainImages: the right shapes and a real order, without a beton."""

    def __init__(self, sources: Mapping[str, PartSource], size: int, *_: object) -> None:
        self.sources, self.size = sources, size

    def batches(self, first_step: int, steps: int) -> Iterator[Batch]:
        for step in range(first_step, steps):
            yield Batch(step, {name: self._part(source, step) for name, source in self.sources.items()})

    def _part(self, source: PartSource, step: int) -> HostPart:
        index, visit = (drawn[0] for drawn in source.order.draw(step, 1))
        strong = self._views(source) if source.strong else None
        return HostPart(index, visit, source.order.rows_of(index), self._views(source), strong)

    def _views(self, source: PartSource) -> Tensor:
        images = torch.zeros(source.order.size, self.size, self.size, 3, dtype=torch.uint8)
        return images.permute(0, 3, 1, 2)


class _Nothing:
    """In the place of what is no part of a step: log, signals, evaluation. Does nothing, whatever it is asked."""

    requested = False
    checkpoints = path = Path("nowhere")

    def __init__(self, *_: object, **__: object) -> None:
        self.view = self

    def __enter__(self) -> "_Nothing":
        return self

    def __exit__(self, *_: object) -> None: ...

    def ended(self) -> bool:
        return False

    def agreed(self, share: Tensor) -> bool:
        return False


def _stand_ins(mode: FakeCuda, steps: int) -> list[tuple[Any, str, Any]]:
    """(where, name, what): the trainer's own loop, with what lies outside a step replaced."""

    class Watched(TrainingRun):
        """Counts the last step."""

        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            watch(self, mode)

        def load(self, folder: Path) -> bool:
            return False

        def inputs(self) -> Iterator[Inputs]:
            inputs = super().inputs()
            for _ in range(steps):
                mode.launched.clear()
                with mode, mode.phase("other"):
                    yield next(inputs)
            raise Enough

    return [
        (loop, "TrainingRun", Watched),
        (loop, "RunLog", _Nothing),
        (loop, "Interruption", _Nothing),
        (training_run, "TrainImages", Images),
        (training_run, "open_soft_labelled", soft_labelled),
        (evaluation, "CentralCrops", _Nothing),
        (models, "network", network),
        (training_run, "data_parallel", lambda model, *_: model),  # DDP's C++ cannot take fake tensors
    ]


def watch(run: TrainingRun, mode: FakeCuda) -> None:
    """Names the phases of the loop."""
    named: list[tuple[Any, str, str]] = [
        (run.passes, "observe", "observe"),
        (run.algorithm, "pseudo_label", "label"),
        (run.mix, "track", "track"),
        (run.mix, "groups", "mix"),
        (run.passes, "learn", "learn"),
        (run.guard, "remember", "remember"),
        (run, "agree", "settle"),
        (run.numerics.scaler, "step", "optimizer"),
        (run.numerics.scaler, "update", "optimizer"),
        (run.ema, "update", "EMA"),
        (run.quality, "add", "log"),
    ]
    if hasattr(run.mix, "pair"):
        named.append((run.mix, "pair", "pair"))
    for owner, method, phase in named:
        mode.around(owner, method, phase)


def network(
    config: ModelConfig, num_classes: int, seed: int, image_size: int, device: torch.device, dtype: torch.dtype
) -> nn.Module:
    """As models.network, its weights fake: torch cannot move fake weights of a module."""
    with unset_fake_temporarily():
        with torch.device("meta"):
            model = models.build(config, num_classes, seed, image_size)
        model = model.to(dtype).to(memory_format=torch.channels_last)
    return faked(model, device)


def faked(model: nn.Module, device: torch.device) -> nn.Module:
    """A network on the meta device with fake weights on ``device``."""
    fake: Callable[[Tensor], Tensor] = lambda t: torch.empty_strided(t.shape, t.stride(), dtype=t.dtype, device=device)  # noqa: E731
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            module._parameters[name] = nn.Parameter(fake(parameter), requires_grad=parameter.requires_grad)
        for name, buffer in module.named_buffers(recurse=False):
            module._buffers[name] = fake(buffer)
    return model
