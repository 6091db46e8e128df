"""Rows of predictions against a slow reading of the logits."""

import math

import numpy as np
import pytest

from pipeline.prediction.decisions import Decisions
from pipeline.prediction.rows import Rows
from pipeline.runs.calibration_file import Acceptance

CLASSES = ["ant", "bee", "cat", "dog"]


def acceptance(threshold: float | None) -> Acceptance:
    return Acceptance(0.95, 0.95, threshold, 100, 0, 200, None)


def written(logits: np.ndarray, decisions: Decisions, classes: list[str] = CLASSES) -> list[dict[str, str]]:
    rows = Rows(classes, decisions)
    names = [f"{n}.jpg" for n in range(len(logits))]
    found = rows.rows(names, np.arange(len(logits)), logits)
    return [dict(zip(rows.header(), row, strict=True)) for row in found]


def test_every_column_by_hand() -> None:
    """Probabilities 8/15, 4/15, 2/15, 1/15 at temperature 2."""
    logits = 2 * np.log(np.array([[2, 8, 1, 4]], np.float32))
    (row,) = written(logits, Decisions(2.0, accept=acceptance(0.5)))
    assert row == {
        "file": "0.jpg", "class": "bee", "confidence": "0.533333", "margin": f"{2 * math.log(2):.4f}",
        "class_2": "dog", "confidence_2": "0.266667", "class_3": "ant", "confidence_3": "0.133333",
        "decision": "accept",
    }  # fmt: skip


@pytest.mark.parametrize(("threshold", "decision"), [(0.6, "review"), (0.5, "accept"), (None, "review")])
def test_decisions(threshold: float | None, decision: str) -> None:
    logits = np.log(np.array([[0.1, 0.55, 0.2, 0.15]]))
    decisions = Decisions(1.0, accept=acceptance(threshold))
    (row,) = written(logits, decisions)
    assert row["decision"] == decision
    assert Rows(CLASSES, decisions).accepted([list(row.values())]) == (decision == "accept")


def test_probabilities_of_classes_that_are_asked_for() -> None:
    rows = Rows(CLASSES, Decisions(1.0, sets="lac", bound=0.1), ["dog", "ant"])
    (row,) = rows.rows(["a.jpg"], np.zeros(1, np.int64), np.log([[0.1, 0.55, 0.2, 0.15]]))
    assert rows.header()[-3:] == ["set", "probability of dog", "probability of ant"]
    assert row[-2:] == ["0.150000", "0.100000"]
    with pytest.raises(ValueError, match="--probability-of cow: the run knows no such class; there are ant"):
        Rows(CLASSES, Decisions(1.0), ["cow"])
    with pytest.raises(ValueError, match="did you mean 'cat'"):
        Rows(CLASSES, Decisions(1.0), ["cats"])


def test_two_classes_leave_cells_empty() -> None:
    (row,) = written(np.array([[0.0, 0.0]]), Decisions(1.0), ["a", "b"])
    assert (row["class"], row["class_2"], row["class_3"], row["confidence_3"]) == ("a", "b", "", "")


def test_sets_hold_the_likely_classes_first() -> None:
    logits = np.log(np.array([[0.1, 0.55, 0.2, 0.15], [0.97, 0.01, 0.01, 0.01]]))
    assert [row["set"] for row in written(logits, Decisions(1.0, sets="lac", bound=0.82))] == ["bee|cat", "ant"]
    assert [row["set"] for row in written(logits, Decisions(1.0, sets="lac", bound=0.4))] == ["", "ant"]
    everything = written(logits, Decisions(1.0, sets="aps"))
    assert [len(row["set"].split("|")) for row in everything] == [4, 4]


def test_the_shares_of_aps_hang_on_the_position_alone() -> None:
    logits = np.random.default_rng(0).normal(size=(50, 4))
    rows = Rows(CLASSES, Decisions(1.0, sets="aps", bound=0.7))
    names = [str(n) for n in range(50)]
    whole = list(rows.rows(names, np.arange(50), logits))
    assert whole[20:] == list(rows.rows(names[20:], np.arange(20, 50), logits[20:]))
    assert 1 < np.mean([len(row[-1].split("|")) for row in whole]) < 3
