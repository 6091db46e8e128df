"""The published numbers."""

import pytest

from slurm.grids import paper


def test_the_tables_have_all_of_the_papers_436_numbers() -> None:
    assert [len(paper.table(number)) for number in (1, 2, 3, 4)] == [136, 240, 32, 28]
    best = paper.table(1)["ece", "FixMatch + CalibrateMix", "cifar10", "4"]
    assert best == paper.Published(3.24, 0.12, True)
    assert paper.table(2)["error", "SoftMatch + CalibrateMix + LS", "cifar100", "4"].std is None
    with pytest.raises(ValueError, match="tables 1, 2, 3, 4"):
        paper.table(5)
