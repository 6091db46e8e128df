"""The options of a training run, resolved in one place: strict and typed. options.py declares them.

Precedence: defaults < recipe < budget < YAML < --set (which recipe and budget apply is decided first).
An unknown key, a wrong type or an impossible combination is a ``ValueError`` of one line that names the
option and the nearest valid name.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from pipeline.config.checks import check
from pipeline.config.options import Config
from pipeline.config.presets import BUDGETS, RECIPES
from pipeline.config.schema import Schema

YAML_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times faster, where libyaml is there


SCHEMA = Schema(Config, check)
OPTIONS = SCHEMA.options
_EITHER = (("mixing.k_percent", "mixing.k_count"), ("mixing.k_count", "mixing.k_percent"))  # the one said goes alone


def describe() -> str:
    """One line for each option: name, default, meaning, known values."""
    return SCHEMA.describe()


def load(path: str | Path | None, sets: Sequence[str] = ()) -> Config:
    """The config of a YAML file (may be None) and ``a.b=c`` assignments. Raises ValueError."""
    return resolve((read_options(Path(path)) if path else {}) | parse_sets(sets))


def resolve(given: Mapping[str, Any]) -> Config:
    """The config of what a user says, by flat names: over the presets that it chooses. Raises ValueError."""
    preset: dict[str, Any] = {}
    for name, known in (("recipe", RECIPES), ("budget", BUDGETS)):
        chosen = SCHEMA.coerce(name, given.get(name, OPTIONS[name].default))
        preset |= known[chosen] if chosen else {}
    for one, other in _EITHER:
        if given.get(one) is not None and other not in given:
            preset[other] = None
    return build(preset | dict(given))


def build(values: Mapping[str, Any]) -> Config:
    """A checked config from flat names; what is not named has its default. Raises ValueError."""
    config = SCHEMA.build(values)
    if not config.out:
        folder = f"runs/{config.dataset}/{config.algorithm}-{config.mix}/{config.labels}/{config.seed}"
        config = dataclasses.replace(config, out=folder)
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
