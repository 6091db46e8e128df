"""Randomness as a function: every draw depends only on (seed, stream, visit, index, view, counter).

Nothing here has a state, so the number of worker threads, ranks or batches fetched ahead cannot change a draw, and a
resumed run needs no saved generator. A key names one image at one visit; a counter picks a number of that key.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from numba import njit

# Streams keep draws for different purposes apart; their values are part of every recorded result.
LABELLED = 1
UNLABELLED = 2
PARTNER = 3
LAMBDA = 4
DROPOUT = 5
LAYER = 6
DIFFUSION = 7  # noise of a generator's training
UNCONDITIONAL = 8  # whether an image is trained without its label
GROUP = 9  # the noise that a group of generated images begins with
SHEET = 10
PREDICTION_SET = 11
BETWEEN = 12  # which generated images a labelled one brings along
AUGMENTED = 13  # their views
EVALUATED = 14  # weak views of images that are evaluated

# fastmath=False is said aloud on purpose: a helper without it inherits the flag of whoever compiles it first, and FFCV
# compiles with fastmath=True, which changes pixels. error_model="numpy" drops the zero checks that break vectorising.
EXACT: dict[str, Any] = {"cache": True, "fastmath": False, "nogil": True, "error_model": "numpy"}

# For kernels that call helpers of another file. Numba's cache notices changes in a function's own file only, so these
# are compiled anew into whatever calls them; the batch kernels of augment.py are cached under a key of all the files.
EXACT_INNER: dict[str, Any] = EXACT | {"cache": False}

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)
_UNIT = 2.0**-53


@njit(**EXACT)
def _mix(word: np.uint64) -> np.uint64:
    """Finaliser of splitmix64 (Steele, Lea, Flood 2014): a bijection in which each bit touches each bit."""
    word = (word ^ (word >> np.uint64(30))) * _FIRST
    word = (word ^ (word >> np.uint64(27))) * _SECOND
    return word ^ (word >> np.uint64(31))


@njit(**EXACT)
def draw_key(seed: int, stream: int, visit: int, index: int, view: int) -> np.uint64:
    """The uint64 key of one view of one sample at one visit.

    The fields are absorbed one after the other, each mixed before the next arrives, so that neither neighbouring
    fields nor swapped ones meet: a plain sum would give (visit 1, index 2) and (visit 2, index 1) one key.
    All arguments are 64-bit integers. Called from Python it returns a plain int, which `uniform` takes only as
    `np.uint64(key)`: numba reads a bare int as signed.
    """
    key = _mix(np.uint64(seed) + _GOLDEN)
    key = _mix((key ^ np.uint64(stream)) + _GOLDEN)
    key = _mix((key ^ np.uint64(visit)) + _GOLDEN)
    key = _mix((key ^ np.uint64(index)) + _GOLDEN)
    return _mix((key ^ np.uint64(view)) + _GOLDEN)


@njit(**EXACT)
def uniform(key: np.uint64, counter: int) -> float:
    """Number `counter` (from 0) of the key's sequence: a float64 in [0, 1), a multiple of 2**-53.

    `int(uniform(...) * n)` is below n for every n < 2**53: the product of n and the largest draw rounds down.
    """
    word = _mix(np.uint64(key) + (np.uint64(counter) + np.uint64(1)) * _GOLDEN)
    return np.float64(word >> np.uint64(11)) * _UNIT


@njit(**EXACT)
def _fill_uniforms(
    seed: int,
    stream: int,
    visits: npt.NDArray[np.int64],
    indices: npt.NDArray[np.int64],
    view: int,
    counter: int,
    out: npt.NDArray[np.float64],
) -> None:
    for i in range(out.shape[0]):
        out[i] = uniform(draw_key(seed, stream, visits[i], indices[i], view), counter)


def uniforms(
    seed: int,
    stream: int,
    visits: npt.ArrayLike,
    indices: npt.ArrayLike,
    view: int = 0,
    counter: int = 0,
) -> npt.NDArray[np.float64]:
    """The draws of many samples at once: float64[N] in [0, 1), one per (visits[i], indices[i]).

    `visits` and `indices` are int64[N]; entry i equals `uniform(draw_key(seed, stream, visits[i], indices[i], view),
    counter)` bit for bit.
    """
    visit = np.ascontiguousarray(visits, dtype=np.int64)
    index = np.ascontiguousarray(indices, dtype=np.int64)
    assert 0 <= seed < 2**63, seed
    assert visit.ndim == 1 and visit.shape == index.shape, (visit.shape, index.shape)
    out = np.empty(visit.shape[0], np.float64)
    _fill_uniforms(int(seed), int(stream), visit, index, int(view), int(counter), out)
    return out


@njit(**EXACT)
def _fill_normals(
    seed: int,
    stream: int,
    visits: npt.NDArray[np.int64],
    indices: npt.NDArray[np.int64],
    out: npt.NDArray[np.float32],
) -> None:
    for i in range(out.shape[0]):
        key = draw_key(seed, stream, visits[i], indices[i], 0)
        for j in range(0, out.shape[1], 2):
            radius = np.sqrt(-2.0 * np.log(1.0 - uniform(key, j)))
            angle = 2.0 * np.pi * uniform(key, j + 1)
            out[i, j] = radius * np.cos(angle)
            if j + 1 < out.shape[1]:
                out[i, j + 1] = radius * np.sin(angle)


def normals(
    seed: int, stream: int, visits: npt.ArrayLike, indices: npt.ArrayLike, count: int
) -> npt.NDArray[np.float32]:
    """Standard normal draws float32[N, count], a row for each (visits[i], indices[i]) (Box and Muller 1958).

    `visits` and `indices` are int64[N]; a row of fewer draws is the beginning of a row of more.
    """
    visit = np.ascontiguousarray(visits, dtype=np.int64)
    index = np.ascontiguousarray(indices, dtype=np.int64)
    assert 0 <= seed < 2**63, seed
    assert visit.ndim == 1 and visit.shape == index.shape, (visit.shape, index.shape)
    out = np.empty((visit.shape[0], count), np.float32)
    _fill_normals(int(seed), int(stream), visit, index, out)
    return out


def seed_dropout(seed: int, step: int, rank: int) -> None:
    """Torch's generators for one step of one rank, so that a resumed run drops what an uninterrupted one drops."""
    torch.manual_seed(int(draw_key(seed, DROPOUT, step, rank, 0)) >> 1)


def permutation(n: int, *key: int) -> npt.NDArray[np.int64]:
    """A permutation of 0..n-1 (int64[n]) that is a pure function of `n` and the non-negative integers `key`.

    Uses `RandomState`, which NumPy froze (NEP 19): its stream never changes between versions, while `Generator`
    keeps the right to improve its methods. Seeding takes 32-bit words, so each key integer (below 2**64) gives two.
    """
    assert key and all(0 <= part < 2**64 for part in key), key
    words = [word for part in key for word in (part & 0xFFFFFFFF, part >> 32)]
    return np.random.RandomState(words).permutation(n).astype(np.int64)
