"""The hash in a run folder's name changes exactly with what the run computes."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import config as configuration
from pipeline.config import RESUMABLE_OPTIONS
from slurm.grids import grid, naming

CADENCE = {"log_every": 7, "checkpoint_every": 9}
RESUMABLE_VALUES = {"out": "x", "data": "/elsewhere", "threads": 3, "eval_batch": 11, "profile": True, **CADENCE}


@pytest.mark.parametrize("name", RESUMABLE_VALUES)
def test_what_does_not_change_the_result_does_not_change_the_name(name: str) -> None:
    config = configuration.load(grid.PROJECT / "configs/digits.yaml")
    assert naming.digest(dataclasses.replace(config, **{name: RESUMABLE_VALUES[name]})) == naming.digest(config)
    assert set(RESUMABLE_VALUES) == RESUMABLE_OPTIONS  # what a run may change as it goes on


@given(
    st.sampled_from(["steps", "eval_every", "batch.labelled", "batch.ratio", "mixing.per_labelled"]), st.integers(2, 99)
)
def test_what_changes_the_result_changes_the_name(name: str, value: int) -> None:
    before = configuration.load(grid.PROJECT / "configs/digits.yaml", ["steps=7"])
    after = configuration.load(grid.PROJECT / "configs/digits.yaml", ["steps=7", f"{name}={value}"])
    assert (naming.digest(before) == naming.digest(after)) == (before == after)
