"""What can be set: every option of a training run with its default, meaning and valid values.

Pure declarations; config.py reads and checks them. What the paper leaves open (views,
similarity, k, lambda ...) is an option each; a recipe in presets.py is a set of them.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.config.presets import BUDGETS, PAPER_STEPS, RECIPES
from pipeline.methods.algorithms import ALGORITHMS
from pipeline.methods.mixes import MIXES

SIMILARITIES = ("feature", "pixel", "logit")
POOLS = ("both", "labelled", "unlabelled")
PRECISIONS = ("auto", "fp32", "tf32", "bf16", "fp16", "fp64")
COMPILE_MODES = ("default", "reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs")


def option(default: Any, text: str, choices: Sequence[str] | None = None, least: float | None = None) -> Any:
    """A dataclass field that knows its help text and its valid values."""
    return field(default=default, metadata={"help": text, "choices": choices, "least": least})


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchConfig:
    labelled: int = option(64, "labelled images a step, over all ranks", least=1)
    ratio: int = option(7, "unlabelled images per labelled image", least=1)


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelConfig:
    name: str = option("wrn-28-2", "wrn-D-K (D = 6n+4), wrn-37-2 (the variant for 96 px), resnet-50")
    norm: str = option("batch", "normalisation layers", ("batch", "group"))
    norm_momentum: float = option(0.001, "BN momentum (torch's convention)", least=0)
    dead_preactivation: bool = option(True, "the reference's quirk: bn1 unused where the width changes")


@dataclass(frozen=True, kw_only=True, slots=True)
class OptimizerConfig:
    lr: float = option(0.03, "learning rate at step 0; falls by cos(7/16 pi t/T)", least=0)
    momentum: float = option(0.9, "SGD momentum (Nesterov)", least=0)
    weight_decay: float = option(5e-4, "on parameters of two or more dimensions", least=0)


@dataclass(frozen=True, kw_only=True, slots=True)
class EmaConfig:
    decay: float = option(0.999, "of the evaluated weights", least=0)
    buffers: str = option("copy", "BN statistics of the EMA model: the raw model's, or averaged", ("copy", "average"))


@dataclass(frozen=True, kw_only=True, slots=True)
class UnlabelledConfig:
    include_labelled: bool = option(True, "the unlabelled stream holds the labelled images too")
    weight: float = option(1.0, "of the unlabelled loss (lambda_u)", least=0)
    threshold: float = option(0.95, "confidence from which a pseudo-label counts (tau)", least=0)
    threshold_warmup: bool = option(True, "flexmatch: thresholds stay low while most samples are unused")


@dataclass(frozen=True, kw_only=True, slots=True)
class SoftMatchConfig:
    momentum: float = option(0.999, "of the moving averages of confidence and predictions", least=0)
    num_sigma: float = option(2.0, "width of the truncated Gaussian, in standard deviations", least=1e-6)


@dataclass(frozen=True, kw_only=True, slots=True)
class AugmentConfig:
    operations: int = option(3, "RandAugment operations of the strong view", least=0)
    pool: str = option("usb", "RandAugment operations and ranges: USB and TorchSSL, or google", ("usb", "google"))
    strong_crop: str | None = option(
        None, "of the strong view: window, or random resized crop; null = resized for photos", ("window", "resized")
    )
    normalisation: str = option(
        "dataset", "mean and std: the data set's, or ImageNet's as USB", ("dataset", "imagenet")
    )
    flip: bool | None = option(None, "horizontal flips; null = as the data set's manifest says")


@dataclass(frozen=True, kw_only=True, slots=True)
class SmoothingConfig:
    labelled: bool = option(True, "label_smoothing acts on labels")
    unlabelled: bool = option(True, "label_smoothing acts on pseudo-labels")
    mixed: bool = option(True, "label_smoothing acts on mixed targets")
    form: str = option("uniform", "eps goes to all C classes, or as USB to the C - 1 others", ("uniform", "others"))


@dataclass(frozen=True, kw_only=True, slots=True)
class MixingConfig:
    lambda_from: str = option("beta", "lambda ~ Beta(alpha, alpha), or always alpha", ("beta", "fixed"))
    alpha: float = option(0.4, "of the Beta distribution, or lambda itself", least=1e-6)
    lambda_per: str = option("direction", "one lambda per", ("pair", "direction", "step"))
    fold_max: bool = option(False, "lambda = max(lambda, 1 - lambda)")
    views: str = option("weak", "unlabelled views that are mixed", ("weak", "strong"))
    similarity: str = option("feature", "cosine between pooled features, images or logits", SIMILARITIES)
    k_percent: float = option(5.0, "partner out of the k% least similar of its half; 0 = out of all", least=0)
    k_count: int | None = option(None, "partner out of so many least similar, instead of k_percent", least=1)
    per_labelled: int = option(1, "mixed images per labelled image", least=1)
    split: str = option("rank", "easy and hard: halves by rank, or values >= the batch's median", ("rank", "median"))
    scope: str = option("global", "batch that is split and paired: all ranks', or each rank's own", ("global", "local"))
    aum: str = option("mean", "AUM: plain mean of margins, or Eq. 5's average", ("mean", "ema"))
    apm_in_warmup: bool = option(True, "APM is tracked before images are mixed too")
    min_confidence: float = option(0.0, "pairs with a less confident pseudo-label do not count", least=0)
    loss: str = option("ce", "soft cross-entropy, or binary cross-entropy averaged over classes", ("ce", "bce"))
    weight: float = option(1.0, "of the mixed loss", least=0)
    double_base: bool = option(False, "the base loss counts in both passes (needs second_pass=joint)")
    second_pass: str = option("joint", "forward=joint: what is learned with the mixed images", ("joint", "alone"))
    update_bn: bool = option(True, "the second pass of forward=joint moves BN running statistics")
    pool: str = option("both", "mix=random draws from labelled and unlabelled, or one of them", POOLS)
    all_pairs: str = option("LE+LH LE+UH LH+UE UE+UH", "mix=all: pairs of L(abelled) U(nlabelled) E(asy) H(ard)")
    all_k_percent: float = option(0.0, "k_percent of mix=all; 0 = no cosine", least=0)


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluationConfig:
    weights: str = option("ema", "evaluated weights", ("ema", "raw"))
    ece_bins: int = option(10, "bins of ece (ece15 always has 15)", least=1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    dataset: str = option("", "NAME of a folder that dataprep/make_beton.py made")
    data: str = option("data", "the folder that holds NAME/")
    out: str = option("", "run folder; empty = runs/DATASET/ALGORITHM-MIX/LABELS/SEED")
    algorithm: str = option("fixmatch", "base algorithm", tuple(ALGORITHMS))
    mix: str = option("none", "mixing on top of it", tuple(MIXES))
    label_smoothing: float = option(0.0, "eps on labelled, unlabelled and mixed targets", least=0)
    recipe: str = option("paper", "preset of the mathematics", tuple(RECIPES))
    budget: str | None = option(None, "preset of length and cadence", tuple(BUDGETS))
    labels: str = option("4", "split: labels per class (4, 25, ...), 10pct, 10pct-balanced or all")
    seed: int = option(0, "of the split, the weights and every draw", least=0)
    steps: int = option(PAPER_STEPS, "optimizer steps", least=1)
    warmup_steps: int | None = option(None, "steps before mixing; null = the recipe's share of steps", least=0)
    warmup_share: float = option(102400 / PAPER_STEPS, "of steps, where warmup_steps is null", least=0)
    forward: str = option("split", "observe then learn, or the peers' one joint pass", ("split", "joint"))
    precision: str = option("auto", "auto = bf16 where the hardware has it; tf32: convolutions alone", PRECISIONS)
    log_every: int = option(256, "steps between training lines", least=1)
    eval_every: int = option(5120, "steps between evaluations", least=1)
    checkpoint_every: int = option(5120, "steps between checkpoints", least=1)
    eval_batch: int = option(512, "images a rank evaluates at once", least=1)
    threads: int = option(0, "CPU threads a rank; 0 = cores / ranks on this machine", least=0)
    compile: str | None = option(None, "torch.compile's mode for the network; null = eager", COMPILE_MODES)
    profile: bool = option(False, "times the phases of some early steps: a table, and OUT/profile/")
    batch: BatchConfig = field(default_factory=BatchConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    ema: EmaConfig = field(default_factory=EmaConfig)
    unlabelled: UnlabelledConfig = field(default_factory=UnlabelledConfig)
    softmatch: SoftMatchConfig = field(default_factory=SoftMatchConfig)
    smoothing: SmoothingConfig = field(default_factory=SmoothingConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    mixing: MixingConfig = field(default_factory=MixingConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)

    @property
    def unlabelled_batch(self) -> int:
        """Unlabelled images a step, over all ranks."""
        return self.batch.labelled * self.batch.ratio if ALGORITHMS[self.algorithm].uses_unlabelled else 0

    @property
    def warmup(self) -> int:
        """The first step (0-based) at which images are mixed."""
        return round(self.steps * self.warmup_share) if self.warmup_steps is None else self.warmup_steps

    def to_dict(self) -> dict[str, Any]:
        """Nested plain values, as ``config.yaml`` holds them."""
        return dataclasses.asdict(self)
