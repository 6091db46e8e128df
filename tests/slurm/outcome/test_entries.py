"""What an entry says about the paper's, and which one is in bold."""

import math
from pathlib import Path

import pytest

from slurm.grids import grid
from slurm.grids.paper import Published
from slurm.outcome.entries import Entry, best_entries, entries


def entry(values: tuple[float, ...], paper: Published | None, floor: float | None = None) -> Entry:
    return Entry("ece" if floor else "error", "m", "d", "4", "g", values, 3, floor, paper)


def test_noise_is_two_standard_errors_and_for_ece_no_less_than_the_floor() -> None:
    ours = entry((1.0, 2.0, 3.0), Published(2.5, 0.3, False))
    noise = 2 * math.sqrt((2 / 3) / 3 + 0.09 / 3)
    assert (ours.difference, ours.noise) == (-0.5, pytest.approx(noise))
    assert entry((2.0, 2.0, 2.0), Published(2.5, 0.0, False), floor=0.7).noise == 0.7
    assert entry((2.0,), Published(2.5, 0.3, False)).noise == pytest.approx(2 * math.sqrt(0.09 + 0.03))
    assert entry((), Published(2.5, 0.3, False)).difference is None


def test_best_is_within_a_base_method_and_needs_a_rival() -> None:
    table = [
        Entry("error", name, "d", "4", group, (value,), 1, None, None)
        for name, group, value in (("a", "fix", 3.0), ("b", "fix", 2.0), ("c", "fix", 2.001), ("d", "soft", 9.0))
    ]
    assert {method for _, method, _, _ in best_entries(table)} == {"b", "c"}  # equal as printed


def test_label_smoothing_is_its_own_group(tmp_path: Path) -> None:
    found = grid.load(grid.PROJECT / "configs/table2.yaml", root=tmp_path)
    groups = {e.method: e.group for e in entries(found)}
    assert groups["FixMatch + RandomMixup"] == groups["FixMatch + CalibrateMix"] == "fixmatch"
    assert groups["FixMatch + LS"] == groups["FixMatch + CalibrateMix + LS"] == "fixmatch + LS"
