"""The grids of CSM make the rows of its tables that they claim; what none of them makes is named, with a reason."""

from collections import Counter
from functools import cache

import pytest

from pipeline.config import read_yaml
from slurm.grids import grid, paper

GRIDS = {  # the grids of each table, which share their runs
    1: ("losses", "csm_table1"),
    2: ("csm_table2",),
    **{number: (f"csm_table{number}",) for number in (5, 6, 7, 8, 9, 10, 11, 12)},
}
ROWS = {1: 90, 2: 6, 3: 7, 4: 7, 5: 36, 6: 10, 7: 3, 8: 14, 9: 7, 10: 24, 11: 6, 12: 7}
NOT_PRINTED = "not-printed"

Row = tuple[str, str, str]  # method, data set, labels


@cache
def load(name: str) -> grid.Grid:
    return grid.load(grid.PROJECT / f"configs/{name}.yaml")


def printed(number: int) -> set[Row]:
    return {key[1:] for key in paper.table(f"csm/{number}")}


def left_out(number: int) -> set[Row]:
    """Rows of a table that no grid makes."""
    named = read_yaml(paper.FOLDER / "csm.yaml", "paper")["left_out"]
    methods = {method for table, methods, reason in named if table == number and reason for method in methods}
    assert methods <= {method for method, _, _ in printed(number)}, "a name that the table does not have"
    return {row for row in printed(number) if row[0] in methods}


def claimed(number: int) -> Counter[Row]:
    """Rows of a table that its grids make, as often as these have a cell for one of their seeds."""
    found = Counter[Row]()
    for name in GRIDS.get(number, ()):
        for cell in grid.select(load(name), "seed=0").cells:
            unknown = number == 12  # whose data set is not printed
            found[cell.method, NOT_PRINTED if unknown else cell.dataset, "all" if unknown else cell.labels] += 1
    return found


def test_the_paper_has_217_rows() -> None:
    assert {number: len(printed(number)) for number in ROWS} == ROWS
    assert sum(ROWS.values()) == 217


@pytest.mark.parametrize("number", ROWS)
def test_every_row_of_a_table_is_made_once_or_left_out(number: int) -> None:
    made, missing = claimed(number), left_out(number)
    assert set(made).isdisjoint(missing)
    assert Counter(printed(number)) == made + Counter(missing)
    for name in GRIDS.get(number, ()):
        assert load(name).paper in (None, f"csm/{number}")


def test_how_many_rows_are_made() -> None:
    made = {number: sum(claimed(number).values()) for number in ROWS}
    assert made == {1: 60, 2: 5, 3: 0, 4: 0, 5: 28, 6: 10, 7: 1, 8: 10, 9: 5, 10: 12, 11: 6, 12: 6}
    assert sum(made.values()) + sum(len(left_out(number)) for number in ROWS) == 217


RUNS = {
    "csm_table1": 18, "csm_table2": 15, "csm_table5": 42, "csm_table6": 30, "csm_table7": 3, "csm_table8": 30,
    "csm_table9": 15, "csm_table10": 12, "csm_table11": 18, "csm_table12": 18, "csm_scale": 30, "csm_figure7": 15,
    "csm_digits": 42, "csm_cifar10_jpeg": 27, "csm_ssl_cifar10_jpeg": 6,
}  # fmt: skip


@pytest.mark.parametrize("name", RUNS)
def test_runs(name: str) -> None:
    assert len(load(name).runs()) == RUNS[name]
    algorithm = "fixmatch" if "ssl" in name else "supervised"
    assert {cell.config.algorithm for cell in load(name).cells} == {algorithm}


def test_tables_share_the_runs_that_they_repeat() -> None:
    runs = {name: set(load(name).runs()) for name in (*RUNS, "losses")}
    first = runs["losses"] | runs["csm_table1"]
    assert len(first) == 180
    assert len(runs["csm_table2"] - first) == 3  # EQ-DATA alone
    for name in ("csm_table5", "csm_table7"):
        assert runs[name] <= first
    assert runs["csm_table12"] <= first | runs["csm_table2"]
    assert len(runs["csm_table6"] - first) == 21  # variants 2 to 4 and 6 to 9
    assert len(runs["csm_table11"] - first) == 12
    assert len(runs["csm_scale"] & first) == 3  # s = 4 of CIFAR-10


def test_what_tells_the_variants_apart() -> None:
    by_method = {cell.method: cell.config for cell in load("csm_table6").cells}
    made = {name: (of.augmented.labels, of.augmented.loss, of.mix, of.loss.name) for name, of in by_method.items()}
    assert made["CSM (L2) w/o REANNO. (variant 2)"] == ("ratio", "l2", "none", "ce")
    assert made["CSM (L2) w/ ONE-HOT AUG. (variant 4)"] == ("one_hot", "l2", "none", "ce")
    assert made["MIXUP (L2) (variant 7)"][2:] == ("mixup", "brier")
    assert made["CSM (FL) (variant 9)"] == ("reannotated", "focal", "none", "ce")
    scales = {(cell.dataset, cell.config.augmented.scale) for cell in load("csm_table1").cells}
    assert scales == {("cifar10", 4), ("cifar100", 2.3), ("tiny_imagenet", 4)}
    tail = {(cell.method, cell.config.dataset, cell.config.labels) for cell in load("csm_table10").cells}
    assert ("CSM (rho=100)", "cifar100", "lt100") in tail and ("CE (rho=10)", "cifar10", "lt10") in tail
