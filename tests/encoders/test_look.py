"""The table of numbers, and which groups are shown."""

from pathlib import Path

import numpy as np

from pipeline.annotation.packed import Groups
from pipeline.encoders.look import ROWS, number_table, shown_groups

NUMBERS = {
    "dataset": "digits",
    "images": 2880,
    "groups": 1440,
    "pairs": 45,
    "ends_as_intended": 0.915,
    "rising_pairs": 44,
    "rank_correlation": 0.97,
    "lambda_e_outside": 0.25,
    "lambda_e_by_place": [0.01, 0.99],
    "frechet": {
        "ends": {"distance": 0.5, "images": 2880},
        "between": {"distance": None, "images": 0},  # groups of two have nothing in between
        "test": {"distance": 0.03, "images": 500},
    },
}


def test_every_number_stands_in_the_table() -> None:
    rows = dict(number_table(NUMBERS).rows)
    assert rows["Images"] == "2,880 in 1,440 groups, 45 pairs" and rows["Ends as intended"] == "91.5%"
    assert rows["Pairs that rise"] == "44 of 45" and rows["Mean lambda_E by place"] == "0.010 0.990"
    assert rows["Frechet, ends"] == "0.500 (2,880 images)" and rows["Frechet, between"] == "none (0 images)"


def test_the_first_groups_of_pairs_are_shown() -> None:
    pairs = np.stack(np.triu_indices(20, 1), 1).repeat(2, 0)[::-1]  # 190 pairs of two groups
    groups = Groups(Path("none"), "own", [], 8, pairs[:, 0], pairs[:, 1], np.linspace(0, 1, 4), None, "0")
    shown = shown_groups(groups)
    assert len(shown) == ROWS and (shown % 2 == 0).all() and {0, 378} <= set(shown.tolist())
    one = Groups(Path("none"), "own", [], 8, pairs[:3, 0], pairs[:3, 1], np.linspace(0, 1, 4), None, "0")
    assert shown_groups(one).tolist() == [0, 2]
