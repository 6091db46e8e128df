"""What can be set of a generator's training: every option with its default, meaning and valid values.

Defaults are those of the published CIFAR-10 network (Karras et al. 2022, Table 7), apart from its augmentation.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.config.options import PRECISIONS, Config
from pipeline.config.reading import parse_sets, read_options
from pipeline.config.schema import Schema
from pipeline.config.sections import option

REDUCTIONS = ("area", "undo_enlargement")
FORMATS = tuple(name for name in PRECISIONS if name != "fp64")
RESUMABLE = frozenset({"out", "data", "threads", "log_every", "sheet_every", "checkpoint_every"})


@dataclass(frozen=True, kw_only=True, slots=True)
class NetworkConfig:
    channels: int = option(128, "base channels of the U-Net: a multiple of 4", minimum=4)
    multipliers: str = option(
        "2 2 2", "channels of each level, from the full resolution down, as multiples of channels"
    )
    blocks: int = option(4, "residual blocks a level in the encoder; the decoder has one more", minimum=1)
    attention: str | None = option(
        "16", "resolutions in pixels whose blocks have self-attention; null = the middle of the network alone"
    )
    dropout: float = option(0.13, "probability that an activation within a block is dropped in training", minimum=0)

    @property
    def levels(self) -> tuple[int, ...]:
        """``multipliers`` as numbers. ValueError where it holds something else."""
        return tuple(int(number) for number in self.multipliers.split())

    @property
    def attention_resolutions(self) -> tuple[int, ...]:
        """``attention`` as numbers. ValueError where it holds something else."""
        return tuple(int(number) for number in (self.attention or "").split())


@dataclass(frozen=True, kw_only=True, slots=True)
class AdamConfig:
    lr: float = option(1e-3, "learning rate of Adam after the warm-up", minimum=0)
    beta1: float = option(0.9, "decay of Adam's mean gradient", minimum=0)
    beta2: float = option(0.999, "decay of Adam's mean squared gradient", minimum=0)
    warmup_images: int = option(10_000_000, "images over which lr rises from 0", minimum=0)


@dataclass(frozen=True, kw_only=True, slots=True)
class AverageConfig:
    half_life: float = option(500_000, "images after which old weights count half in the average", minimum=1)
    ramp_up: float = option(0.05, "half-life at most this share of the images seen so far; 0 = none", minimum=0)


@dataclass(frozen=True, kw_only=True, slots=True)
class GeneratorConfig:
    dataset: str = option("", "NAME of a data folder made by dataprep/make_beton.py")
    data: str = option("data", "folder that holds NAME/")
    out: str = option("", "run folder; empty = runs/DATASET/generator/LABELS/SEED")
    labels: str = option("all", "labelled images to train on: all, or a split as of train.py (4, 25, 10pct, your own)")
    validation: int | None = option(
        None, "images held out of training (make_beton.py --validation N); null = the folder's own, 0 = none", minimum=0
    )
    pseudo_labels: str | None = option(
        None, "list of predict.py RUN --pool: its confident images are trained on too; null = labelled images alone"
    )
    pseudo_confidence: float = option(0.95, "pseudo-labels less confident than this are left out", minimum=0)
    seed: int = option(0, "seed of the split, the initial weights and every random draw", minimum=0)
    resolution: int | None = option(None, "side in pixels of what is generated; null = as stored", minimum=4)
    reduce: str = option(
        "area", "images to resolution: the mean of areas, or what enlargement makes the stored image of", REDUCTIONS
    )
    flip: bool | None = option(None, "mirror training images at random; null = as the data folder says")
    label_dropout: float = option(0.0, "share of images trained without label, which guidance needs", minimum=0)
    steps: int = option(390_625, "optimizer steps of the whole run", minimum=1)
    batch: int = option(512, "images per step, summed over all ranks", minimum=1)
    precision: str = option("auto", "number format; auto = bf16 where the hardware has it", FORMATS)
    threads: int = option(0, "CPU threads per rank; 0 = cores / ranks on this machine", minimum=0)
    log_every: int = option(256, "steps between lines of metrics.jsonl", minimum=1)
    sheet_every: int = option(10_000, "steps between contact sheets of generated images", minimum=1)
    checkpoint_every: int = option(5_000, "steps between checkpoints", minimum=1)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    adam: AdamConfig = field(default_factory=AdamConfig)
    average: AverageConfig = field(default_factory=AverageConfig)

    @property
    def resumable(self) -> frozenset[str]:
        """Options that may change when the run is resumed."""
        return RESUMABLE

    @property
    def labelled_data(self) -> Config:
        """Options of train.py that choose the same images."""
        labels = {"labels": self.labels, "validation": self.validation, "seed": self.seed}
        return Config(dataset=self.dataset, data=self.data, **labels)  # type: ignore[arg-type]

    def learning_rate(self, step: int) -> float:
        """At ``step`` (0-based)."""
        images = (step + 1) * self.batch
        return self.adam.lr * min(1.0, images / max(self.adam.warmup_images, 1))

    def decay(self, step: int) -> float:
        """Of the average of weights at ``step`` (0-based): by ``ramp_up`` it forgets the first ones soon."""
        half_life = self.average.half_life
        if self.average.ramp_up:
            half_life = min(half_life, (step + 1) * self.batch * self.average.ramp_up)
        return float(0.5 ** (self.batch / half_life))

    def to_dict(self) -> dict[str, Any]:
        """Nested plain values, as ``config.yaml`` holds them."""
        return dataclasses.asdict(self)


def check(config: GeneratorConfig) -> None:
    """Whatever can be told from the options alone. Raises ValueError."""
    if not config.dataset:
        raise ValueError("dataset is not set: name a data folder made by dataprep/make_beton.py")
    for name, text in (("multipliers", config.network.multipliers), ("attention", config.network.attention)):
        if not all(number.isdigit() and int(number) for number in (text or "").split()):
            raise ValueError(f"network.{name}={text!r}: write whole numbers such as '1 2'")
    if not config.network.multipliers.split():
        raise ValueError("network.multipliers is empty: write a number for each level, such as '2 2 2'")
    if config.network.channels % 4:
        raise ValueError(f"network.channels={config.network.channels}: must be a multiple of 4")
    for name, value in (("network.dropout", config.network.dropout), ("label_dropout", config.label_dropout)):
        if value >= 1:
            raise ValueError(f"{name}={value:g}: must be below 1")


SCHEMA = Schema(GeneratorConfig, check)


def load(path: str | Path | None, sets: Sequence[str] = ()) -> GeneratorConfig:
    """The options of a YAML file (may be None) and ``a.b=c`` assignments. Raises ValueError."""
    config = SCHEMA.build((read_options(Path(path)) if path else {}) | parse_sets(sets))
    if config.out:
        return config
    return dataclasses.replace(config, out=f"runs/{config.dataset}/generator/{config.labels}/{config.seed}")
