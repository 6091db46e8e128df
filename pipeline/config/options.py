"""What can be set: every option of a training run with its default, meaning and valid values.

Pure declarations, importing neither torch nor a method; reading.py reads and checks them. A recipe in presets.py is
a set of options.
"""

import dataclasses
import math
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from pipeline.config.presets import BUDGETS, PAPER_STEPS, RECIPES
from pipeline.config.sections import (
    AugmentConfig,
    AugmentedConfig,
    BatchConfig,
    EmaConfig,
    EvaluationConfig,
    LossConfig,
    MixingConfig,
    ModelConfig,
    OptimizerConfig,
    SmoothingConfig,
    SoftMatchConfig,
    UnlabelledConfig,
    option,
)

# Names alone: the registries in methods/ hold the code, and a test holds both equal.
ALGORITHMS = ("fixmatch", "flexmatch", "softmatch", "supervised")
LABELLED_ONLY = ("supervised",)  # algorithms that read no unlabelled image
MIXES = ("none", "calibratemix", "random", "all", "mixup", "regmixup", "manifold")
# These mix labelled images among themselves from the first step and observe nothing.
LABELLED_MIXES = ("mixup", "regmixup", "manifold")
FORWARDS = ("joint", "observe")
PRECISIONS = ("auto", "fp32", "tf32", "bf16", "fp16", "fp64")
COMPILE_MODES = ("default", "reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs")

# Where a run lies, how fast it goes and how it reports: a resumed run may change these, the result stays the same.
RESUMABLE_OPTIONS = frozenset({"out", "data", "threads", "eval_batch", "log_every", "checkpoint_every", "profile"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    dataset: str = option("", "NAME of a data folder made by dataprep/make_beton.py")
    data: str = option("data", "folder that holds NAME/")
    out: str = option("", "run folder; empty = runs/DATASET/ALGORITHM-MIX/LABELS/SEED")
    algorithm: str = option("fixmatch", "base algorithm that labels the unlabelled images", ALGORITHMS)
    mix: str = option("none", "mixing on top of the base algorithm", MIXES)
    label_smoothing: float = option(0.0, "smoothing eps of labels, pseudo-labels and mixed targets", minimum=0)
    recipe: str = option("paper", "preset of the mathematics: the paper's, or the authors' release", tuple(RECIPES))
    budget: str | None = option(None, "preset of length and cadence", tuple(BUDGETS))
    labels: str = option(
        "4",
        "labelled split: labels per class (4, 25, ...), 10pct, 10pct-stratified, lt100 (long tail), all, or your own",
    )
    validation: int | None = option(
        None, "images held out of training (make_beton.py --validation N); null = the folder's own, 0 = none", minimum=0
    )
    seed: int = option(0, "seed of the split, the initial weights and every random draw", minimum=0)
    steps: int = option(PAPER_STEPS, "optimizer steps of the whole run, unless epochs says", minimum=1)
    epochs: int | None = option(
        None, "passes over the labelled images, in place of steps (algorithm=supervised)", minimum=1
    )
    warmup_steps: int | None = option(
        None, "steps before mixing starts; null = steps x warmup_share, 0 for mixup", minimum=0
    )
    warmup_share: float = option(102400 / PAPER_STEPS, "share of steps before mixing starts", minimum=0)
    forward: str = option(
        "joint", "all views in one pass as the peers, or observed without gradient, then learned", FORWARDS
    )
    precision: str = option("auto", "number format; auto = bf16 where the hardware has it", PRECISIONS)
    log_every: int | None = option(256, "steps between training lines of metrics.jsonl; null = an epoch", minimum=1)
    eval_every: int | None = option(5120, "steps between evaluations; null = an epoch", minimum=1)
    checkpoint_every: int | None = option(5120, "steps between checkpoints; null = an epoch", minimum=1)
    eval_batch: int = option(512, "images per batch and rank in evaluation", minimum=1)
    threads: int = option(0, "CPU threads per rank; 0 = cores / ranks on this machine", minimum=0)
    compile: str | None = option(None, "mode of torch.compile for the network; null = eager", COMPILE_MODES)
    profile: bool = option(False, "time the phases of some early steps: a table, and OUT/profile/")
    batch: BatchConfig = field(default_factory=BatchConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    ema: EmaConfig = field(default_factory=EmaConfig)
    unlabelled: UnlabelledConfig = field(default_factory=UnlabelledConfig)
    softmatch: SoftMatchConfig = field(default_factory=SoftMatchConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    smoothing: SmoothingConfig = field(default_factory=SmoothingConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    augmented: AugmentedConfig = field(default_factory=AugmentedConfig)
    mixing: MixingConfig = field(default_factory=MixingConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)

    @property
    def unlabelled_batch(self) -> int:
        """Unlabelled images a step, over all ranks."""
        return self.batch.labelled * self.batch.ratio if self.algorithm not in LABELLED_ONLY else 0

    @property
    def augmented_batch(self) -> int:
        """Generated images a step, over all ranks."""
        return self.batch.labelled * self.augmented.per_image if self.augmented.dataset else 0

    @property
    def images_per_step(self) -> int:
        """Images of all parts of a step's batch, over all ranks."""
        return self.batch.labelled + self.unlabelled_batch + self.augmented_batch

    @property
    def epoch_batch(self) -> int:
        """What a step takes of an epoch's labelled images: its batch, and with ``augmented.equal_data`` all it learns.

        Then steps an epoch are N / ((1 + N_aug) B): as many images as without generated ones.
        """
        return self.batch.labelled + (self.augmented_batch if self.augmented.equal_data else 0)

    @property
    def layers(self) -> list[int]:
        """After which stages of the network activations may be mixed, 0 for the images; none but with mix=manifold."""
        return [int(layer) for layer in self.mixing.layers.split()] if self.mix == "manifold" else []

    @property
    def split_name(self) -> str:
        """The labelled split: its name in the data folder's manifest, and that of its file without .npy."""
        return f"{self.labels}-seed{self.seed}"

    def split_among(self, known: Collection[str]) -> str:
        """``split_name``, unless the user's own split of the name ``labels`` is ``known`` and no drawn one is."""
        own = self.labels in known and self.split_name not in known
        return self.labels if own else self.split_name

    @property
    def warmup(self) -> int:
        """The first step (0-based) at which images are mixed."""
        if self.warmup_steps is not None:
            return self.warmup_steps
        return 0 if self.mix in LABELLED_MIXES else round(self.steps * self.warmup_share)

    @property
    def resumable(self) -> frozenset[str]:
        """Options that may change when the run is resumed; of ``epochs`` the data say how many steps they are."""
        return RESUMABLE_OPTIONS | ({"steps"} if self.epochs else set())

    def to_dict(self) -> dict[str, Any]:
        """Nested plain values, as ``config.yaml`` holds them."""
        return dataclasses.asdict(self)


def most_virtual_shards(labelled_batch: int, unlabelled_batch: int) -> int:
    """The largest power of two up to 64 that divides both global batches (``unlabelled_batch`` may be 0).

    The training file is cut into this many virtual shards (data/streams.py), of which each batch takes equal shares and
    each rank serves equally many: the number of ranks must divide it. A small data set has fewer.
    """
    return math.gcd(64, labelled_batch, unlabelled_batch)
