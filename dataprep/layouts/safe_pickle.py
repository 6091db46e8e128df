"""Reads pickles of dictionaries of arrays, lists, texts and numbers. Whatever else a pickle would call is refused.

Unpickling calls what the file names, so a file from elsewhere can run anything. Here the few names that CIFAR's files
hold lead to the small classes below, which can do nothing but hold numbers; not even numpy's own hooks are reached,
since those trust the types and flags that a file gives them.
"""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


class _Dtype:
    """The type of an array: plain numbers only."""

    def __init__(self, name: str | bytes, *_: object) -> None:
        self.dtype = np.dtype(name if isinstance(name, str) else name.decode("latin1"))
        if self.dtype.kind not in "biuf":
            raise pickle.UnpicklingError(f"an array of {self.dtype}")

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        if state[1] in ("<", ">"):
            self.dtype = self.dtype.newbyteorder(state[1])


class _Array:
    """An array before and after its numbers are known."""

    def __init__(self, *_: object) -> None:
        self.array: NDArray[Any] = np.zeros(0)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, kind, fortran, data = state
        numbers = data.encode("latin1") if isinstance(data, str) else data  # Python 2 wrote its bytes as text
        self.array = np.frombuffer(numbers, kind.dtype).reshape(shape, order="F" if fortran else "C")


def _from_buffer(data: bytes, kind: _Dtype, shape: tuple[int, ...], order: Any, *_: object) -> NDArray[Any]:
    return np.frombuffer(data, kind.dtype).reshape(shape, order=order)


def _scalar(kind: _Dtype, data: str | bytes) -> Any:
    return np.frombuffer(data.encode("latin1") if isinstance(data, str) else data, kind.dtype)[0]


def _encode(text: str, encoding: str) -> bytes:
    """What Python 3 calls for the bytes in a pickle of an old protocol."""
    if encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError(f"text in the encoding {encoding!r}")
    return text.encode("latin1")


def _no_bytes() -> bytes:
    """What Python 3 calls for empty bytes."""
    return b""


_CORES = ("numpy.core", "numpy._core")  # before and since numpy 2
_KNOWN: dict[str, Callable[..., Any] | None] = {
    "numpy.ndarray": None,  # only ever an argument
    "numpy.dtype": _Dtype,
    "_codecs.encode": _encode,
    "__builtin__.bytes": _no_bytes,
    **{f"{core}.multiarray._reconstruct": _Array for core in _CORES},
    **{f"{core}.multiarray.scalar": _scalar for core in _CORES},
    **{f"{core}.numeric._frombuffer": _from_buffer for core in _CORES},
}


class _ArraysOnly(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if f"{module}.{name}" not in _KNOWN:
            raise pickle.UnpicklingError(f"it would call {module}.{name}, which no data needs; it was not called")
        return _KNOWN[f"{module}.{name}"]


def load_arrays(file: Path) -> dict[str, Any]:
    """The dictionary in a pickle: keys as text, arrays as numpy's. Raises UnpicklingError, or nearly anything."""
    with file.open("rb") as handle:
        content = _ArraysOnly(handle, encoding="latin1").load()
    if not isinstance(content, dict):
        raise pickle.UnpicklingError(f"a {type(content).__name__}, not a dictionary")
    return {
        key if isinstance(key, str) else key.decode("latin1"): value.array if isinstance(value, _Array) else value
        for key, value in content.items()
    }
