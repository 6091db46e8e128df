"""Every pair of algorithm, mix, recipe, forward, network, norm, precision and ranks steps on pretended CUDA."""

from collections import Counter
from collections.abc import Callable
from concurrent.futures import Executor

import pytest
from gpu_check import cover
from gpu_check.fake_runs import SHOWN, Tried, attempt, bookkeeping, counted, failures, table

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("pretence")]


@pytest.mark.long
def test_no_pair_of_options_waits_or_mixes_devices(pool: Executor) -> None:
    assert failures(list(pool.map(attempt, cover.pairwise()))) == []


def test_no_single_option_does(pool: Executor) -> None:
    assert failures(list(pool.map(attempt, cover.single_options()))) == []


def test_launches_of_a_step(pool: Executor, record_property: Callable[[str, object], None]) -> None:
    """What bookkeeping launches beside the network does not grow unnoticed."""
    both = {world: counted(pool, world, SHOWN[:2]) for world in (1, 8)}
    record_property("table", "\n\n".join(table(rows, world) for world, rows in both.items()))
    found = dict(both[1])
    assert failures([tried for rows in both.values() for _, tried in rows]) == []
    assert bookkeeping(found["WRN-28-2 + CalibrateMix"]) < 250
    assert found["WRN-28-2 FixMatch"].launched["pair"] == 0 < found["WRN-28-2 + CalibrateMix"].launched["pair"]


def test_a_failure_is_a_line_of_the_table() -> None:
    broken = Tried({"mix": "all", "ranks": "8"}, Counter(), "DeviceWait: aten.nonzero")
    assert failures([broken]) == ["mix=all ranks=8: DeviceWait: aten.nonzero"]
    assert table([("one", broken)], 8).endswith("DeviceWait: aten.nonzero")
