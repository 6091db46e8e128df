"""The three acts of a step: observe without gradient, pair (see mixing.py), learn with gradient.

The weak views never carry a gradient in these methods, so they are observed by the bare model; one
forward/backward of [labelled, unlabelled strong, mixed] through DDP learns.
"""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from pipeline.config import Config
from pipeline.data import Batch, Views
from pipeline.dataset import Dataset
from pipeline.distributed import Ranks
from pipeline.losses import cross_entropy, rank_share, soft_cross_entropy
from pipeline.pseudo_labels import PseudoLabels


@dataclass(frozen=True, slots=True)
class Inputs:
    """A batch on the device. ``b`` rows are this rank's, L is the global labelled batch."""

    step: int
    views: Views  # uint8: labelled [b_l, 3, S, S], weak and strong [b_u, 3, S, S]
    labels: Tensor  # [b_l] int64
    global_slots: Tensor  # [L] int64: places of the global labelled batch in the split
    rows: Tensor  # [b_u] int64: rows in this rank's part of the APM table
    host: Batch


@dataclass(frozen=True, slots=True)
class Observed:
    """What the weak views gave, without gradient, in float32 or better; this rank's rows."""

    labelled_logits: Tensor  # [b_l, C]
    labelled_features: Tensor  # [b_l, D]
    unlabelled_logits: Tensor  # [b_u, C]
    unlabelled_features: Tensor  # [b_u, D]


@dataclass(frozen=True, slots=True)
class Mixed:
    """This rank's stretch of the mixed images."""

    images: Tensor  # [m, 3, S, S] normalised
    targets: Tensor  # [m, C]


TERMS = ("loss", "loss_labelled", "loss_unlabelled", "loss_mix", "mask_rate")


class Numerics:
    """Number formats: what the network computes in, and how uint8 images become its input."""

    def __init__(self, precision: str, dataset: Dataset, device: torch.device) -> None:
        self.precision = resolve_precision(precision, device)
        self.device = device
        self.dtype = torch.float64 if self.precision == "fp64" else torch.float32
        shape = (1, 3, 1, 1)
        self.mean = torch.tensor(dataset.mean, dtype=self.dtype, device=device).reshape(shape) * 255
        self.scale = 1 / (torch.tensor(dataset.std, dtype=self.dtype, device=device).reshape(shape) * 255)
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.precision == "fp16")

    def normalise(self, images: Tensor) -> Tensor:
        """uint8 [B, 3, S, S] -> zero mean, unit variance per channel; keeps channels_last."""
        return (images.to(self.dtype) - self.mean) * self.scale

    def autocast(self) -> AbstractContextManager[object]:
        """A fresh context for each pass: autocast caches its cast weights, with or without gradient."""
        half = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(self.precision)
        return torch.autocast(self.device.type, half) if half else nullcontext()


def resolve_precision(precision: str, device: torch.device) -> str:
    """``auto`` is bf16 where the hardware computes in it, else fp16 on CUDA and fp32 on CPU."""
    if precision != "auto":
        return precision
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    return "bf16" if cpu_has_bf16() else "fp32"


def cpu_has_bf16() -> bool:
    """True where the processor multiplies bfloat16 (AVX512-BF16 or AMX), as torch itself detects it."""
    probes = (getattr(torch.cpu, f"_is_{unit}_supported", None) for unit in ("avx512_bf16", "amx_tile"))
    return any(probe is not None and probe() for probe in probes)


def to_device(batch: Batch, split: np.ndarray, labels: Tensor, rows: np.ndarray, ranks: Ranks) -> Inputs:
    """``labels``: of the whole split, on the device; ``rows``: of the unlabelled images."""
    slots = torch.from_numpy(np.searchsorted(split, batch.labelled_index))
    each = len(slots) // ranks.world
    slots, table_rows = (x.to(ranks.device, non_blocking=True) for x in (slots, torch.from_numpy(rows)))
    views = Views(*(x.to(ranks.device, non_blocking=True) for x in batch.views))
    mine = slots[ranks.rank * each : (ranks.rank + 1) * each]
    return Inputs(batch.step, views, labels[mine], slots, table_rows, batch)


@torch.no_grad()
def observe(model: nn.Module, inputs: Inputs, numerics: Numerics) -> Observed:
    """Forward of all weak views by the bare model in training mode."""
    num = len(inputs.views.labelled)
    images = numerics.normalise(torch.cat([inputs.views.labelled, inputs.views.weak]))
    with numerics.autocast():
        logits, features = model(images)
    return Observed(logits[:num], features[:num], logits[num:], features[num:])


def learn(
    ddp: nn.Module, inputs: Inputs, pseudo: PseudoLabels, mixed: Mixed | None, config: Config, numerics: Numerics
) -> Tensor:
    """Forward of [labelled, strong, mixed] -> TERMS [5]; element 0, with gradient, is the objective (Eq. 10)."""
    views = [numerics.normalise(torch.cat([inputs.views.labelled, inputs.views.strong]))] + (
        [mixed.images] if mixed else []
    )
    images = torch.cat(views).contiguous(memory_format=torch.channels_last)
    with numerics.autocast():
        logits, _ = ddp(images)
    num, end = len(inputs.labels), len(views[0])
    world = config.batch.labelled // num
    supervised = rank_share(cross_entropy(logits[:num], inputs.labels), config.batch.labelled, world)
    consistency = cross_entropy(logits[num:end], pseudo.label) * pseudo.weight
    unsupervised = rank_share(consistency, config.unlabelled_batch, world)
    total, mix = supervised + config.unlabelled.weight * unsupervised, logits.new_zeros(())
    if mixed:
        mix = rank_share(soft_cross_entropy(logits[end:], mixed.targets), config.batch.labelled, world)
        total = total + config.mixing.weight * mix
    return torch.stack([total, supervised, unsupervised, mix, pseudo.weight.mean()])
