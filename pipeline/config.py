"""The options of a training run: strict, typed, and resolved in one place.

Precedence: defaults < recipe < budget < YAML < --set (which recipe and budget apply is settled first).
An unknown key, a wrong type or an impossible combination is a ``ValueError`` of one line that names the
option and the nearest valid name.
"""

import dataclasses
import difflib
import math
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from pipeline.algorithms import ALGORITHMS
from pipeline.presets import BUDGETS, PAPER_STEPS, RECIPES


def option(default: Any, text: str, choices: Sequence[str] | None = None, least: float | None = None) -> Any:
    """A dataclass field that knows its help text and its valid values."""
    return field(default=default, metadata={"help": text, "choices": choices, "least": least})


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchConfig:
    labelled: int = option(64, "labelled images a step, over all ranks", least=1)
    ratio: int = option(7, "unlabelled images per labelled image", least=1)


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelConfig:
    name: str = option("wrn-28-2", "wrn-D-K (D = 6n+4), or wrn-37-2, the variant for 96 px")
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
class AugmentConfig:
    operations: int = option(3, "RandAugment operations of the strong view", least=0)
    flip: bool | None = option(None, "horizontal flips; null = as the data set's manifest says")


@dataclass(frozen=True, kw_only=True, slots=True)
class MixingConfig:
    alpha: float = option(0.4, "lambda ~ Beta(alpha, alpha)", least=1e-6)
    lambda_per: str = option("direction", "one lambda per", ("pair", "direction", "step"))
    k_percent: float = option(5.0, "partner out of the k% least similar; 0 = out of all", least=0)
    weight: float = option(1.0, "of the mixed loss", least=0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    dataset: str = option("", "NAME of a folder that dataprep/make_beton.py made")
    data: str = option("data", "the folder that holds NAME/")
    out: str = option("", "run folder; empty = runs/DATASET/ALGORITHM-MIX/LABELS/SEED")
    algorithm: str = option("fixmatch", "base algorithm", tuple(ALGORITHMS))
    mix: str = option("none", "mixing on top of it", ("none", "calibratemix"))
    recipe: str = option("paper", "preset of the mathematics", tuple(RECIPES))
    budget: str | None = option(None, "preset of length and cadence", tuple(BUDGETS))
    labels: str = option("4", "split: labels per class (4, 25, ...), 10pct, 10pct-balanced or all")
    seed: int = option(0, "of the split, the weights and every draw", least=0)
    steps: int = option(PAPER_STEPS, "optimizer steps", least=1)
    warmup_steps: int | None = option(None, "steps before mixing; null = the recipe's share of steps", least=0)
    warmup_share: float = option(102400 / PAPER_STEPS, "of steps, where warmup_steps is null", least=0)
    precision: str = option("auto", "auto = bf16 where the hardware has it", ("auto", "fp32", "bf16", "fp16", "fp64"))
    log_every: int = option(256, "steps between training lines", least=1)
    eval_every: int = option(5120, "steps between evaluations", least=1)
    checkpoint_every: int = option(5120, "steps between checkpoints", least=1)
    eval_batch: int = option(512, "images a rank evaluates at once", least=1)
    threads: int = option(0, "CPU threads a rank; 0 = cores / ranks on this machine", least=0)
    batch: BatchConfig = field(default_factory=BatchConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    ema: EmaConfig = field(default_factory=EmaConfig)
    unlabelled: UnlabelledConfig = field(default_factory=UnlabelledConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    mixing: MixingConfig = field(default_factory=MixingConfig)

    @property
    def unlabelled_batch(self) -> int:
        """Unlabelled images a step, over all ranks."""
        return self.batch.labelled * self.batch.ratio

    @property
    def warmup(self) -> int:
        """The first step (0-based) at which images are mixed."""
        return round(self.steps * self.warmup_share) if self.warmup_steps is None else self.warmup_steps

    def to_dict(self) -> dict[str, Any]:
        """Nested plain values, as ``config.yaml`` holds them."""
        return dataclasses.asdict(self)


def options(schema: type = Config, prefix: str = "") -> Iterator[tuple[str, dataclasses.Field]]:
    """Every option as ("batch.labelled", its field), in order."""
    for item in dataclasses.fields(schema):
        if dataclasses.is_dataclass(item.type):
            yield from options(typing.cast(type, item.type), f"{prefix}{item.name}.")
        else:
            yield prefix + item.name, item


OPTIONS = dict(options())


def describe() -> str:
    """One line for each option: name, default, meaning, known values."""
    lines = []
    for name, item in OPTIONS.items():
        known = f" ({' | '.join(item.metadata['choices'])})" if item.metadata["choices"] else ""
        lines.append(f"  {name:<28} {item.default!s:<10} {item.metadata['help']}{known}")
    return "\n".join(lines)


def load(path: str | Path | None, sets: Sequence[str] = ()) -> Config:
    """The config of a YAML file (may be None) and ``a.b=c`` assignments. Raises ValueError."""
    given = _flatten(_read_yaml(Path(path))) if path else {}
    given |= dict(_parse_set(text) for text in sets)
    preset: dict[str, Any] = {}
    for name, known in (("recipe", RECIPES), ("budget", BUDGETS)):
        chosen = _coerce(name, given.get(name, OPTIONS[name].default))
        preset |= known[chosen] if chosen else {}
    return build(preset | given)


def build(values: Mapping[str, Any]) -> Config:
    """A checked config from flat names; what is not named has its default. Raises ValueError."""
    nested: dict[str, Any] = {}
    for name, value in values.items():
        section, _, leaf = name.rpartition(".")
        if name not in OPTIONS:
            raise ValueError(_unknown(name))
        (nested.setdefault(section, {}) if section else nested)[leaf] = _coerce(name, value)
    for item in dataclasses.fields(Config):
        if dataclasses.is_dataclass(item.type) and item.name in nested:
            nested[item.name] = typing.cast(type, item.type)(**nested[item.name])
    config = Config(**nested)
    if not config.out:
        folder = f"runs/{config.dataset}/{config.algorithm}-{config.mix}/{config.labels}/{config.seed}"
        config = dataclasses.replace(config, out=folder)
    _check(config)
    return config


def _check(config: Config) -> None:
    if not config.dataset:
        raise ValueError("dataset is not set: name a data folder made by dataprep/make_beton.py")
    if config.mix != "none" and config.warmup >= config.steps:
        raise ValueError(
            f"warmup_steps ({config.warmup}) >= steps ({config.steps}): mix={config.mix} would never mix; "
            "lower warmup_steps or set mix=none"
        )
    if config.mix != "none" and config.batch.labelled < 2:
        raise ValueError(f"batch.labelled=1 leaves no easy and hard half for mix={config.mix}: use 2 or more")


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text())
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror}); check --config") from None
    except yaml.YAMLError as error:
        raise ValueError(f"{path}: not YAML ({' '.join(str(error).split())})") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path}: holds no options (expected 'name: value' lines)")
    return content


def _flatten(nested: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in nested.items():
        name = f"{prefix}{key}"
        is_section = any(known.startswith(f"{name}.") for known in OPTIONS)
        if isinstance(value, Mapping) and (is_section or name not in OPTIONS):
            flat |= _flatten(value, f"{name}.")
        else:
            flat[name] = value
    return flat


def _parse_set(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals:
        raise ValueError(f"--set {text}: expected name=value")
    return name.strip(), yaml.safe_load(value)


def _unknown(name: str) -> str:
    leaves = {known.rpartition(".")[2]: known for known in OPTIONS}
    near = difflib.get_close_matches(name, OPTIONS, 1) or [
        leaves[leaf] for leaf in difflib.get_close_matches(name.rpartition(".")[2], leaves, 1)
    ]
    hint = f"did you mean {near[0]}?" if near else "--help lists all options"
    return f"{name}: unknown option; {hint}"


def _coerce(name: str, value: Any) -> Any:
    """``value`` in the option's type, or a ValueError that names both."""
    kind, meta = OPTIONS[name].type, OPTIONS[name].metadata
    kinds = typing.get_args(kind) if isinstance(kind, types.UnionType) else (kind,)
    if value is None and types.NoneType in kinds:
        return None
    wanted = next(k for k in kinds if k is not types.NoneType)
    converted = _convert(wanted, value)
    if converted is None:
        raise ValueError(f"{name}: expected {wanted.__name__}, got {value!r}")
    if meta["choices"] and converted not in meta["choices"]:
        near = difflib.get_close_matches(str(value), meta["choices"], 1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise ValueError(f"{name}: unknown value {value!r}; {hint}known: {', '.join(meta['choices'])}")
    if meta["least"] is not None and converted < meta["least"]:
        raise ValueError(f"{name}: must be at least {meta['least']:g}, got {value!r}")
    return converted


def _convert(kind: type, value: Any) -> Any:
    """None where ``value`` is not of ``kind``. YAML reads 5e-4 as text, so numbers may come as text."""
    if kind is bool:
        return value if isinstance(value, bool) else None
    if kind is str:
        return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else None
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    if not math.isfinite(number):
        return None
    if kind is int:
        return int(number) if number.is_integer() else None
    return number
