"""The draws: pure functions of their key, uniform, and unrelated between neighbouring keys.

Uniform: Kolmogorov-Smirnov and a chi-square over 100 bins along each field of the key (seed, stream, visit = epoch,
index = sample, view, counter), no correlation at lags 1, 2, 7. Independent: a chi-square of the joint distribution of
neighbours in each field over 20,000 samples, and of what is decided with the draws. Keys are fixed, so a p-value
below 1e-3 is a finding and not bad luck.
"""

import numpy as np
import pytest
from scipy import stats

from pipeline.randomness import (
    GROUP,
    LABELLED,
    LAMBDA,
    PARTNER,
    SHEET,
    UNLABELLED,
    draw_key,
    normals,
    permutation,
    uniform,
    uniforms,
)

FIELDS = ("seed", "stream", "visit", "index", "view", "counter")
PINNED = [0, 3, 1, 8, 7, 9, 2, 6, 5, 4]


def scalar(seed: int, stream: int, visit: int, index: int, view: int, counter: int) -> float:
    return uniform(np.uint64(draw_key(seed, stream, visit, index, view)), counter)


def along(field: str, length: int = 20_000) -> np.ndarray:
    """float64[length]: the draws while one field runs 0, 1, 2, ... and the others stand still."""
    still = dict(zip(FIELDS, (5, UNLABELLED, 3, 17, 1, 2), strict=True))
    runs = np.arange(length)
    if field in ("visit", "index"):
        columns = {name: runs if name == field else np.full(length, still[name]) for name in ("visit", "index")}
        return uniforms(5, UNLABELLED, columns["visit"], columns["index"], view=1, counter=2)
    rows = ({**still, field: int(value)} for value in runs)
    return np.array([scalar(**row) for row in rows])


@pytest.mark.parametrize("field", FIELDS)
def test_draws_along_each_field_are_uniform_and_uncorrelated(field: str) -> None:
    draws = along(field)
    assert draws.min() >= 0 and draws.max() < 1
    assert stats.kstest(draws, "uniform").pvalue > 1e-3
    assert stats.chisquare(np.bincount((draws * 100).astype(int), minlength=100)).pvalue > 1e-3
    for lag in (1, 2, 7):
        assert abs(np.corrcoef(draws[:-lag], draws[lag:])[0, 1]) < 4 / np.sqrt(len(draws))


@pytest.mark.parametrize("field", FIELDS)
def test_neighbours_in_each_field_are_unrelated_over_many_samples(field: str) -> None:
    base = dict(zip(FIELDS, (5, UNLABELLED, 3, 0, 0, 0), strict=True))
    samples = np.arange(20_000)

    def draw(at: dict[str, int]) -> np.ndarray:
        visits = np.full(len(samples), at["visit"])
        return uniforms(at["seed"], at["stream"], visits, samples + at["index"], at["view"], at["counter"])

    here, beside = draw(base), draw({**base, field: base[field] + 1})
    assert abs(np.corrcoef(here, beside)[0, 1]) < 4 / np.sqrt(len(samples))
    pairs = np.bincount((here * 8).astype(int) * 8 + (beside * 8).astype(int), minlength=64)
    assert stats.chisquare(pairs).pvalue > 1e-3


OPERATION, CROP = 6, 0  # counters of the first RandAugment operation and of the crop's row


def decided(kinds: int, counter: int, *, visit: int = 0, view: int = 1, shift: int = 0) -> np.ndarray:
    """One of ``kinds`` for each of 40,000 samples."""
    samples = np.arange(40_000)
    return (uniforms(0, UNLABELLED, np.full_like(samples, visit), samples + shift, view, counter) * kinds).astype(int)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (decided(14, OPERATION), decided(14, OPERATION, visit=1)),  # the same image an epoch later
        (decided(14, OPERATION), decided(14, OPERATION, shift=1)),  # the next image
        (decided(9, CROP, view=0), decided(9, CROP)),  # the other view
        (decided(14, OPERATION), decided(14, OPERATION + 2)),  # the next operation
        (decided(9, CROP), decided(14, OPERATION)),
    ],
    ids=["epochs", "samples", "views", "operations", "crop and operation"],
)
def test_decisions_are_uniform_and_independent(one: np.ndarray, other: np.ndarray) -> None:
    for decisions in (one, other):
        assert stats.chisquare(np.bincount(decisions)).pvalue > 1e-3
    table = np.zeros((one.max() + 1, other.max() + 1))
    np.add.at(table, (one, other), 1)
    assert stats.chi2_contingency(table).pvalue > 1e-3


def test_nearby_fields_never_share_a_key_and_their_order_matters() -> None:
    small = range(6)
    keys = {draw_key(a, b, c, d, e) for a in small for b in small for c in small for d in small for e in small}
    assert len(keys) == 6**5
    assert len({draw_key(1, stream, 0, 0, 0) for stream in (LABELLED, UNLABELLED, PARTNER, LAMBDA)}) == 4


def test_all_draws_of_nearby_keys_differ() -> None:
    visits, indices = np.divmod(np.arange(40_000), 200)
    draws = np.concatenate([uniforms(0, LABELLED, visits, indices, view, c) for view in (0, 1) for c in range(4)])
    assert len(np.unique(draws)) == len(draws)


def test_host_array_equals_the_scalar_functions() -> None:
    visits, indices = np.array([0, 3, 2**40, 7]), np.array([9, 0, 5, 2**62])
    got = uniforms(2**63 - 1, PARTNER, visits, indices, view=1, counter=11)
    want = [scalar(2**63 - 1, PARTNER, v, i, 1, 11) for v, i in zip(visits, indices, strict=True)]
    assert got.dtype == np.float64 and got.tolist() == want


def test_draws_equal_an_independent_integer_computation() -> None:
    """Recorded behaviour: these numbers may never change, or resumed runs would."""
    mask = 2**64 - 1

    def mix(word: int) -> int:
        word = (word ^ word >> 30) * 0xBF58476D1CE4E5B9 & mask
        word = (word ^ word >> 27) * 0x94D049BB133111EB & mask
        return word ^ word >> 31

    key = 0
    for field in (12, LABELLED, 34, 56, 1):
        key = mix((key ^ field) + 0x9E3779B97F4A7C15 & mask)
    assert int(draw_key(12, LABELLED, 34, 56, 1)) == key
    for counter in (0, 1, 99):
        word = mix(key + (counter + 1) * 0x9E3779B97F4A7C15 & mask)
        assert uniform(np.uint64(key), counter) == (word >> 11) / 2**53


def test_permutation_is_pinned_and_a_function_of_its_whole_key() -> None:
    assert permutation(10, 3, 1, 2).tolist() == PINNED
    assert permutation(10, 3, 1, 2).dtype == np.int64
    keys = [(0,), (0, 0), (1,), (2**32,), (2**40 + 1,), (1, 2), (2, 1), (0, 1)]
    orders = {tuple(permutation(50, *key)) for key in keys}
    assert len(orders) == len(keys)
    assert all(sorted(order) == list(range(50)) for order in orders)


def test_permutations_are_unrelated_between_neighbouring_keys() -> None:
    orders = np.stack([permutation(64, 0, LABELLED, visit) for visit in range(400)])
    assert stats.chisquare(np.bincount(orders[:, 0], minlength=64)).pvalue > 1e-3
    assert abs(np.corrcoef(orders[:-1].ravel(), orders[1:].ravel())[0, 1]) < 4 / np.sqrt(orders.size)


def test_normal_draws_are_normal_and_functions_of_their_key() -> None:
    visits, indices = np.repeat(np.arange(50), 20), np.tile(np.arange(20), 50)
    drawn = normals(5, GROUP, visits, indices, 21)
    assert drawn.shape == (1000, 21) and drawn.dtype == np.float32
    assert stats.kstest(drawn.ravel(), "norm").pvalue > 1e-3
    correlated = np.corrcoef(drawn, rowvar=False) - np.eye(21)
    assert np.abs(correlated).max() < 0.15
    assert np.array_equal(normals(5, GROUP, [7], [3], 4)[0], drawn[7 * 20 + 3, :4])
    assert not np.array_equal(normals(5, SHEET, [7], [3], 21)[0], drawn[7 * 20 + 3])
