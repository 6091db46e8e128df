"""A dataclass of options, read strictly: typed values by their flat names, and one clear line for each mistake."""

import dataclasses
import difflib
import math
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Generic, Protocol, TypeVar


class RunOptions(Protocol):
    """What a run folder needs to know of the options of its run, a frozen dataclass with a default for each."""

    @property
    def out(self) -> str:
        """The run folder."""
        ...

    @property
    def steps(self) -> int:
        """Optimizer steps of the whole run."""
        ...

    @property
    def resumable(self) -> frozenset[str]:
        """Names of options that may change when the run is resumed."""
        ...

    def to_dict(self) -> dict[str, Any]:
        """Nested plain values, as ``config.yaml`` holds them."""
        ...


Options = TypeVar("Options")


def options(kind: type, prefix: str = "") -> Iterator[tuple[str, dataclasses.Field]]:
    """Every option of a dataclass as ("batch.labelled", its field), in order."""
    for item in dataclasses.fields(kind):
        if dataclasses.is_dataclass(item.type):
            yield from options(typing.cast(type, item.type), f"{prefix}{item.name}.")
        else:
            yield prefix + item.name, item


class Schema(Generic[Options]):
    """The options of the dataclass ``kind``; ``check`` raises ValueError for combinations that make no sense."""

    def __init__(self, kind: type[Options], check: Callable[[Options], None]) -> None:
        self.kind, self.check = kind, check
        self.options = dict(options(kind))

    def describe(self) -> str:
        """One line for each option: name, default, meaning, known values."""
        lines = []
        for name, item in self.options.items():
            known = f" ({' | '.join(item.metadata['choices'])})" if item.metadata["choices"] else ""
            lines.append(f"  {name:<28} {item.default!s:<10} {item.metadata['help']}{known}")
        return "\n".join(lines)

    def build(self, values: Mapping[str, Any]) -> Options:
        """The checked options of flat names; what is not named has its default. Raises ValueError."""
        nested: dict[str, Any] = {}
        for name, value in values.items():
            section, _, leaf = name.rpartition(".")
            if name not in self.options:
                raise ValueError(self._unknown(name))
            (nested.setdefault(section, {}) if section else nested)[leaf] = self.coerce(name, value)
        for item in dataclasses.fields(self.kind):  # type: ignore[arg-type]
            if dataclasses.is_dataclass(item.type) and item.name in nested:
                nested[item.name] = typing.cast(type, item.type)(**nested[item.name])
        built = self.kind(**nested)
        self.check(built)
        return built

    def coerce(self, name: str, value: Any) -> Any:
        """``value`` in the option's type, or a ValueError that names both."""
        kind, meta = self.options[name].type, self.options[name].metadata
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

    def _unknown(self, name: str) -> str:
        # Of equal leaves the first is meant.
        leaves = {known.rpartition(".")[2]: known for known in reversed(self.options)}
        near = difflib.get_close_matches(name, self.options, 1) or [
            leaves[leaf] for leaf in difflib.get_close_matches(name.rpartition(".")[2], leaves, 1)
        ]
        hint = f"did you mean {near[0]}?" if near else "--help lists all options"
        return f"{name}: unknown option; {hint}"


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
