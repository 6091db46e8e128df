"""Whether JSON has the shape of a TypedDict: which fields are missing, or are of another kind."""

import types
import typing
from typing import Any


def misfits(content: Any, shape: Any, name: str = "") -> list[str]:
    """What `content` lacks or has otherwise, each as words like 'counts.train is missing'; [] where it fits."""
    origin, arguments = typing.get_origin(shape), typing.get_args(shape)
    if typing.is_typeddict(shape):
        return _fields(content, shape, name)
    if origin is typing.NotRequired:
        return misfits(content, arguments[0], name)
    if origin in (types.UnionType, typing.Union):
        return [] if any(not misfits(content, each) for each in arguments) else [f"{name} is {content!r}"]
    if origin is list and isinstance(content, list):
        return [fault for i, each in enumerate(content) for fault in misfits(each, arguments[0], f"{name}[{i}]")]
    if origin is dict and isinstance(content, dict):
        return [fault for key, each in content.items() for fault in misfits(each, arguments[1], f"{name}.{key}")]
    kind = origin or shape
    accepted = (int, float) if kind is float else (kind,)  # JSON writes 1.0 as 1
    fits = isinstance(content, accepted) and not (isinstance(content, bool) and kind is not bool)
    return [] if fits else [f"{name} is {_short(content)}"]


def _fields(content: Any, shape: Any, name: str) -> list[str]:
    if not isinstance(content, dict):
        return [f"{name or 'it'} is {_short(content)}"]
    faults = []
    for key, kind in typing.get_type_hints(shape, include_extras=True).items():
        path = f"{name}.{key}".lstrip(".")
        if key in content:
            faults += misfits(content[key], kind, path)
        elif typing.get_origin(kind) is not typing.NotRequired:
            faults.append(f"{path} is missing")
    return faults


def _short(content: Any) -> str:
    text = repr(content)
    return text if len(text) <= 40 else f"{text[:37]}..."
