"""The options of a training run, resolved in one place: strict and typed. options.py declares them.

Precedence: defaults < recipe < budget < YAML < --set (which recipe and budget apply is decided first).
An unknown key, a wrong type or an impossible combination is a ``ValueError`` of one line that names the
option and the nearest valid name.
"""

import dataclasses
import difflib
import math
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from pipeline.config.checks import check
from pipeline.config.options import Config
from pipeline.config.presets import BUDGETS, RECIPES

YAML_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times faster, where libyaml is there


def options(schema: type = Config, prefix: str = "") -> Iterator[tuple[str, dataclasses.Field]]:
    """Every option as ("batch.labelled", its field), in order."""
    for item in dataclasses.fields(schema):
        if dataclasses.is_dataclass(item.type):
            yield from options(typing.cast(type, item.type), f"{prefix}{item.name}.")
        else:
            yield prefix + item.name, item


OPTIONS = dict(options())
_EITHER = (("mixing.k_percent", "mixing.k_count"), ("mixing.k_count", "mixing.k_percent"))  # the one said goes alone


def describe() -> str:
    """One line for each option: name, default, meaning, known values."""
    lines = []
    for name, item in OPTIONS.items():
        known = f" ({' | '.join(item.metadata['choices'])})" if item.metadata["choices"] else ""
        lines.append(f"  {name:<28} {item.default!s:<10} {item.metadata['help']}{known}")
    return "\n".join(lines)


def load(path: str | Path | None, sets: Sequence[str] = ()) -> Config:
    """The config of a YAML file (may be None) and ``a.b=c`` assignments. Raises ValueError."""
    return resolve((read_options(Path(path)) if path else {}) | parse_sets(sets))


def resolve(given: Mapping[str, Any]) -> Config:
    """The config of what a user says, by flat names: over the presets that it chooses. Raises ValueError."""
    preset: dict[str, Any] = {}
    for name, known in (("recipe", RECIPES), ("budget", BUDGETS)):
        chosen = _coerce(name, given.get(name, OPTIONS[name].default))
        preset |= known[chosen] if chosen else {}
    for one, other in _EITHER:
        if given.get(one) is not None and other not in given:
            preset[other] = None
    return build(preset | dict(given))


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
    check(config)
    return config


def read_yaml(path: Path, option: str) -> Any:
    """What a YAML file holds. ValueError where it cannot be read; ``option`` named it."""
    try:
        return yaml.load(path.read_bytes(), Loader=YAML_LOADER)
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror}); check {option}") from None
    except yaml.YAMLError as error:
        raise ValueError(f"{path}: not YAML ({' '.join(str(error).split())})") from None


def read_options(path: Path) -> dict[str, Any]:
    """The options of a YAML file by flat names, unchecked. ValueError where it cannot be read."""
    content = read_yaml(path, "--config")
    if not isinstance(content, dict):
        raise ValueError(f"{path}: holds no options (expected 'name: value' lines)")
    return flatten(content)


def parse_sets(sets: Sequence[str]) -> dict[str, Any]:
    """The values of ``a.b=c`` assignments by flat names, unchecked. ValueError where one has no "="."""
    return dict(_parse_set(text) for text in sets)


def flatten(nested: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested options by their flat names: ``{"batch": {"labelled": 8}}`` is ``{"batch.labelled": 8}``."""
    flat: dict[str, Any] = {}
    for name, value in nested.items():
        flat |= flatten(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return flat


def _parse_set(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals:
        raise ValueError(f"--set {text}: expected name=value")
    try:
        return name.strip(), yaml.load(value, Loader=YAML_LOADER)
    except yaml.YAMLError as error:
        raise ValueError(f"--set {text}: the value is not YAML ({' '.join(str(error).split())})") from None


def _unknown(name: str) -> str:
    leaves = {known.rpartition(".")[2]: known for known in reversed(OPTIONS)}  # of equal leaves the first is meant
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
    if meta["minimum"] is not None and converted < meta["minimum"]:
        raise ValueError(f"{name}: must be at least {meta['minimum']:g}, got {value!r}")
    return converted


def _convert(kind: type, value: Any) -> Any:
    """None where ``value`` is not of ``kind``. YAML reads 5e-4 as text, so numbers may come as text."""
    if kind is bool:
        return value if isinstance(value, bool) else None
    if kind is str:
        if isinstance(value, list):  # several names or numbers, as optimizer.milestones
            return " ".join(map(str, value))
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
