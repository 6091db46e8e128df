"""What is tracked when: APM may wait for the end of the warm-up, AUM never does."""

import pytest

from pipeline.distributed import Ranks
from pipeline.methods.margins import AumTable
from pipeline.methods.mixes.difficulty import Difficulty
from tests.support.problems import batch, context
from tests.support.ranks import alone


def visits(ranks: Ranks, in_warmup: bool) -> tuple[int, int]:
    difficulty = Difficulty(context(f"mixing.apm_in_warmup={in_warmup}".lower(), "warmup_steps=5"))
    for step in (3, 4, 5, 6):
        inputs, observed, _ = batch(ranks, step)
        difficulty.track(inputs, observed)
    assert isinstance(difficulty.aum, AumTable)
    return int(difficulty.aum.counts.max()), int(difficulty.apm.visits.max())


@pytest.mark.parametrize(("in_warmup", "expected"), [(True, (8, 4)), (False, (8, 2))])
def test_apm_may_wait_for_the_warm_up(in_warmup: bool, expected: tuple[int, int]) -> None:
    assert alone(visits, in_warmup) == expected
