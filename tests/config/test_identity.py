"""Which options make a run what it is."""

import dataclasses

import pytest

from pipeline import config
from pipeline.config import DEFAULTS, OPTIONS, RESUMABLE_OPTIONS, changed_options, flat_values, most_virtual_shards


def test_every_option_has_a_flat_value() -> None:
    made = config.load(None, ["dataset=x", "batch.ratio=3", "augment.flip=true"])
    assert list(flat_values(made)) == list(OPTIONS) == list(DEFAULTS)
    assert flat_values(made) == config.flatten(made.to_dict())
    assert config.resolve(flat_values(made)) == made


def test_what_has_changed() -> None:
    saved = config.load(None, ["dataset=x"])
    now = config.load(None, ["dataset=x", "steps=9", "ema.decay=.5", "threads=3"])
    assert changed_options(saved.to_dict(), now) == [("steps", 2**20, 9), ("ema.decay", 0.999, 0.5)]
    assert changed_options({"dataset": "x", "ema": None, "steps": 9}, now) == [("ema.decay", 0.999, 0.5)]


def test_resumable_options_exist() -> None:
    assert set(OPTIONS) >= RESUMABLE_OPTIONS


def test_the_split_is_named_after_labels_and_seed() -> None:
    assert config.load(None, ["dataset=x", "labels=10pct", "seed=2"]).split_name == "10pct-seed2"
    assert dataclasses.replace(config.Config(), labels="4").split_name == "4-seed0"


@pytest.mark.parametrize(
    ("batches", "count"), [((64, 448), 64), ((16, 112), 16), ((24, 72), 8), ((64, 0), 64), ((7, 49), 1), ((512, 0), 64)]
)
def test_virtual_shards_are_a_power_of_two_that_divides_both_batches(batches: tuple[int, int], count: int) -> None:
    assert most_virtual_shards(*batches) == count
