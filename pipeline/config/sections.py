"""The sections of a run's options, such as ``optimizer`` and ``mixing``, with defaults, meanings and valid values.

Pure declarations, importing neither torch nor a method. What the papers leave open (views, similarity, k, lambda ...)
is an option each.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

SIMILARITIES = ("feature", "pixel", "logit")
SPACES = ("usb", "google")
NORMALISATIONS = ("dataset", "imagenet", "usb", "timm")
TIMM = "timm/"  # before the names of its networks
OPTIMIZERS = ("sgd", "adamw")
LOSSES = ("ce", "erl", "focal", "flsd", "mbls", "mmce", "brier")
MEMBERS = ("both", "labelled", "unlabelled")
SCHEDULES = ("cosine_7_16", "step", "cosine", "constant")
SELECTIONS = ("last", "best_validation", "best_test")
SOFT_LABELS = ("reannotated", "ratio", "one_hot", "zero_shot")
STOPPING = ("error", "error_top5", "ece", "nll")  # metrics that evaluation.stop_at may name


def option(default: Any, text: str, choices: Sequence[str] | None = None, minimum: float | None = None) -> Any:
    """A dataclass field that knows its help text and its valid values."""
    return field(default=default, metadata={"help": text, "choices": choices, "minimum": minimum})


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchConfig:
    labelled: int = option(64, "labelled images per step, summed over all ranks", minimum=1)
    ratio: int = option(7, "unlabelled images per labelled image", minimum=1)


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelConfig:
    name: str = option("wrn-28-2", "network: wrn-D-K with D = 6n + 4, one of docs/supervised.md, or timm/NAME")
    weights: str = option(
        "", "weights to start from: a file (.pt, .pth, .safetensors), a run folder, or timm for its own; empty = drawn"
    )
    dropout: float = option(0.0, "probability that a feature is dropped before the classifier, in training", minimum=0)
    norm: str = option("batch", "normalisation layers of the network", ("batch", "group"))
    norm_momentum: float = option(0.001, "momentum of batch-norm running statistics, in torch's convention", minimum=0)
    freeze_norm: bool = option(False, "batch norm stays as model.weights has it, statistics and all")
    patch_size: int | None = option(
        None, "timm: pixels of a side of a transformer's patches; null = its own", minimum=1
    )
    drop_path: float | None = option(
        None,
        "timm: probability that the last block is skipped in training, earlier ones less; null = its own",
        minimum=0,
    )
    dead_preactivation: bool = option(True, "skip bn1 where the width of a WRN changes, as the reference code does")


@dataclass(frozen=True, kw_only=True, slots=True)
class OptimizerConfig:
    name: str = option("sgd", "SGD with Nesterov momentum, or AdamW with betas .9 and .999", OPTIMIZERS)
    lr: float = option(0.03, "learning rate at its peak: at step 0, or after the warm-up", minimum=0)
    lr_batch: int | None = option(
        None, "batch that lr is for, and scaled from in proportion; null = the one there is", minimum=1
    )
    warmup_epochs: float = option(0.0, "epochs in which lr rises: from lr unscaled, without lr_batch from 0", minimum=0)
    warmup_steps: int = option(0, "steps in which lr rises from 0, in place of warmup_epochs", minimum=0)
    layer_decay: float = option(
        1.0, "timm: lr of a layer over that of the layer after it; 1 = the same for all", minimum=1e-6
    )
    schedule: str = option(
        "cosine_7_16", "decay of lr: by cos(7/16 pi t/T), by gamma at each milestone, to 0 by a cosine, none", SCHEDULES
    )
    milestones: str = option("", "schedule=step: epochs at which lr drops, such as 60 120 160")
    gamma: float = option(0.1, "schedule=step: what lr is multiplied by at a milestone", minimum=0)
    clip: float = option(0.0, "largest L2 norm of the gradient; a longer one is scaled down; 0 = any", minimum=0)
    momentum: float = option(0.9, "Nesterov momentum of SGD", minimum=0)
    weight_decay: float = option(5e-4, "weight decay of what decay_on says", minimum=0)
    decay_on: str = option("matrices", "parameters that decay: of two or more dimensions, or all", ("matrices", "all"))

    @property
    def milestone_epochs(self) -> list[float]:
        """``milestones`` as numbers. ValueError where it holds something else."""
        return [float(epoch) for epoch in self.milestones.replace(",", " ").split()]


@dataclass(frozen=True, kw_only=True, slots=True)
class EmaConfig:
    decay: float = option(0.999, "EMA decay of the evaluated weights", minimum=0)
    buffers: str = option("copy", "copy the BN statistics of the EMA model, or average them too", ("copy", "average"))


@dataclass(frozen=True, kw_only=True, slots=True)
class UnlabelledConfig:
    include_labelled: bool = option(True, "draw the labelled images as unlabelled ones too")
    include_validation: bool = option(
        False, "draw the validation images as unlabelled ones, so that they tell how far to trust the others' labels"
    )
    weight: float = option(1.0, "weight of the unlabelled loss (lambda_u)", minimum=0)
    threshold: float = option(0.95, "confidence from which a pseudo-label counts (tau)", minimum=0)
    threshold_warmup: bool = option(True, "FlexMatch: keep thresholds low while most samples are unused")


@dataclass(frozen=True, kw_only=True, slots=True)
class SoftMatchConfig:
    momentum: float = option(0.999, "momentum of the averages of confidence and predictions", minimum=0)
    num_sigma: float = option(2.0, "width of the truncated Gaussian in standard deviations", minimum=1e-6)


@dataclass(frozen=True, kw_only=True, slots=True)
class AugmentConfig:
    operations: int = option(3, "RandAugment operations per strong view", minimum=0)
    space: str = option("usb", "RandAugment operations and ranges: those of USB and TorchSSL, or Google's", SPACES)
    strong_crop: str | None = option(
        None, "crop of the strong view: window or random resized crop; null = resized for photos", ("window", "resized")
    )
    normalisation: str = option(
        "dataset",
        "mean and std: the data set's, ImageNet's, what USB uses for this set, timm's of model.name",
        NORMALISATIONS,
    )
    flip: bool | None = option(None, "flip images horizontally; null = as the data set's manifest says")


@dataclass(frozen=True, kw_only=True, slots=True)
class AugmentedConfig:
    dataset: str | None = option(
        None, "NAME of a data folder of generated groups, such as digits-csm, or digits-csm-{split}; null = none"
    )
    per_image: int = option(2, "generated images for each labelled image, of one group, at most 8 (N_aug)", minimum=1)
    loss: str = option("l2", "loss on soft labels; l2 = |p - q|^2, focal with loss.gamma", ("l2", "ce", "focal"))
    normalise_by_classes: bool = option(False, "l2: divide by the number of classes, as printed; false = released code")
    weight: float = option(1.0, "weight of the loss on generated images; 0 = as if there were none", minimum=0)
    scale: float = option(
        4.0, "reannotated: s of lambda = sigmoid(s (lambda_E - 1/2)), larger = nearer to one-hot", minimum=1e-6
    )
    labels: str = option(
        "reannotated", "soft labels: lambda, the generator's ratio, one-hot ends, zero-shot distribution", SOFT_LABELS
    )
    ends: str = option(
        "default",
        "draw the end of the class from two images on, or always, also as the only one",
        ("default", "always"),
    )
    equal_data: bool = option(False, "epochs count generated images too, so that they are as many steps fewer")
    forward: str = option(
        "separate",
        "a pass of their own, with its own batch-norm statistics, or one with the views",
        ("separate", "joint"),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class LossConfig:
    name: str = option("ce", "loss on labels; flsd = focal of gamma 5 where p < .2, mbls = margin-based", LOSSES)
    gamma: float = option(3.0, "focal, flsd: exponent of 1 - p", minimum=0)
    entropy_weight: float = option(0.1, "erl: weight of the entropy that is rewarded", minimum=0)
    margin: float = option(6.0, "mbls: distance of logits that is free", minimum=0)
    margin_weight: float = option(0.1, "mbls: weight of what is beyond the margin", minimum=0)
    class_mean: bool = option(True, "mbls, brier: mean over classes, as in released code; false = their sum")
    mmce_weight: float = option(1.0, "mmce: weight beside CE", minimum=0)
    mmce_root: bool = option(False, "mmce: the root of the double sum, as Kumar et al.; false = as released code")


@dataclass(frozen=True, kw_only=True, slots=True)
class SmoothingConfig:
    labelled: bool = option(True, "apply label_smoothing to labels")
    unlabelled: bool = option(True, "apply label_smoothing to pseudo-labels")
    mixed: bool = option(True, "apply label_smoothing to mixed targets")
    form: str = option(
        "uniform", "spread eps over all C classes, or over the C - 1 others as USB", ("uniform", "others")
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class MixingConfig:
    lambda_from: str = option("beta", "draw lambda from Beta(alpha, alpha), or fix it at alpha", ("beta", "fixed"))
    alpha: float = option(0.4, "alpha of the Beta distribution, or lambda itself where it is fixed", minimum=1e-6)
    lambda_per: str = option("direction", "what shares one lambda", ("pair", "direction", "step"))
    fold_max: bool = option(False, "replace lambda by max(lambda, 1 - lambda)")
    views: str = option("weak", "unlabelled views that are mixed", ("weak", "strong"))
    similarity: str = option("feature", "cosine similarity between features, pixels or logits", SIMILARITIES)
    k_percent: float | None = option(
        5.0, "draw partners from the k% least similar of the other half; 0 = from all, null = k_count says", minimum=0
    )
    k_count: int | None = option(None, "draw partners from this many least similar instead of k_percent", minimum=1)
    per_labelled: int = option(1, "mixed images per labelled image", minimum=1)
    halves: str = option("rank", "divide easy from hard by rank, or at the median of the batch", ("rank", "median"))
    scope: str = option("global", "pair within the batch of all ranks, or within each rank's own", ("global", "local"))
    aum: str = option("mean", "AUM as the plain mean of margins, or as the average of Eq. 5", ("mean", "ema"))
    apm_in_warmup: bool = option(True, "track APM before mixing starts")
    min_confidence: float = option(0.0, "ignore pairs whose pseudo-label is less confident than this", minimum=0)
    trust: str = option("all", "a pair counts fully, or by the confidence of its pseudo-label", ("all", "confidence"))
    targets: str = option("mixed", "labels mixed like images, or the nearer image's label", ("mixed", "nearer"))
    loss: str = option("ce", "soft cross-entropy, or binary cross-entropy averaged over classes", ("ce", "bce"))
    weight: float = option(1.0, "weight of the loss on mixed images", minimum=0)
    double_base: bool = option(False, "count the base loss in both passes (needs second_pass=joint)")
    second_pass: str = option("alone", "forward mixed images alone, or with all views again", ("alone", "joint"))
    update_bn: bool = option(True, "let the pass of the mixed images update BN running statistics")
    members: str = option("both", "images that mix=random draws from", MEMBERS)
    layers: str = option("0 1 2", "mix=manifold: stages after which it may mix, one a step; 0 = the images")
    all_pairs: str = option("LE+LH LE+UH LH+UE UE+UH", "pairs of mix=all: L(abelled), U(nlabelled), E(asy), H(ard)")
    all_k_percent: float = option(0.0, "k_percent of mix=all; 0 = partners at random", minimum=0)


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluationConfig:
    weights: str = option("ema", "weights that are evaluated: the moving average, or the raw ones", ("ema", "raw"))
    select: str = option(
        "last", "weights whose numbers result.json gives beside the last: of the lowest error so far", SELECTIONS
    )
    stop_at: str | None = option(None, "end at the first evaluation where this holds, such as error_top5<=7")
    ece_bins: int = option(10, "number of bins of ece (ece15 always has 15)", minimum=1)

    @property
    def goal(self) -> tuple[str, float] | None:
        """(metric, value) of ``stop_at``. ValueError where it is no such text."""
        if self.stop_at is None:
            return None
        name, _, value = self.stop_at.partition("<=")
        if name.strip() not in STOPPING:
            raise ValueError(name)
        return name.strip(), float(value)
