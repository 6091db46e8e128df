"""The published numbers."""

import pytest

from slurm.grids import paper


def test_the_tables_have_all_of_the_papers_436_numbers() -> None:
    assert [len(paper.table(f"calibratemix/{number}")) for number in (1, 2, 3, 4)] == [136, 240, 32, 28]
    best = paper.table("calibratemix/1")["ece", "FixMatch + CalibrateMix", "cifar10", "4"]
    assert best == paper.Published(3.24, 0.12, True)
    assert paper.table("calibratemix/2")["error", "SoftMatch + CalibrateMix + LS", "cifar100", "4"].std is None


def test_mixup_and_csm_are_in_percent_as_ours() -> None:
    """52 numbers of 30 rows; accuracies and fractions as printed are turned into errors and percent."""
    assert [len(paper.table(f"mixup/{number}")) for number in (1, 2, 3)] == [8, 20, 24]
    assert paper.table("mixup/2")["ece15", "Mixup (alpha=0.4)", "cifar10", "all"].mean == 1.9
    assert paper.table("mixup/2")["error", "Mixup (alpha=0.5)", "cifar100", "all"].mean == pytest.approx(20.43)
    assert paper.table("csm/1")["ece15", "MbLS", "cifar10", "resnet-50"].mean == 1.16


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("calibratemix/5", "calibratemix has tables 1, 2, 3, 4"),
        ("mixup", "mixup has tables 1, 2, 3"),
        ("mixmatch/1", "write PAPER/TABLE with one of calibratemix, csm, mixup"),
    ],
)
def test_what_there_is_not(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        paper.table(name)
