"""What post-hoc methods are fitted on never overlaps with what is scored."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.report.held_out import FitFile, hold_out, read_fit_on, split_rows
from tests.support.reports import predictions, write


def test_a_split_is_disjoint_whole_and_seeded() -> None:
    fit, rest = split_rows(101, 0.2, 3)
    assert (len(fit), len(rest)) == (20, 81)
    assert sorted([*fit, *rest]) == list(range(101))
    assert split_rows(101, 0.2, 3)[0].tolist() == fit.tolist() != split_rows(101, 0.2, 4)[0].tolist()
    assert [len(part) for part in split_rows(2, 0.01, 0)] == [1, 1] == [len(part) for part in split_rows(2, 0.99, 0)]


def test_a_share_is_fitted_on_and_the_rest_is_scored() -> None:
    logits, labels = predictions(0)
    held_out = hold_out(0.25, logits, labels, 7)
    assert held_out is not None and hold_out(0.0, logits, labels, 7) is None
    fit, scored = split_rows(400, 0.25, 7)
    np.testing.assert_array_equal(held_out.logits, logits[fit])
    np.testing.assert_array_equal(held_out.labels, labels[fit])
    np.testing.assert_array_equal(held_out.scored, scored)
    assert held_out.source == "a random 25% of the test set (seed 7)"
    with pytest.raises(ValueError, match=r"--fit-on 0.2: 1 test image cannot be split; use 0"):
        hold_out(0.2, logits[:1], labels[:1], 0)


def test_all_of_the_test_set_is_scored_after_fitting_on_a_file(tmp_path: Path) -> None:
    logits, labels = predictions(0)
    fit = read_fit_on(str(write(tmp_path / "validation.npz", *predictions(1, samples=50))))
    assert isinstance(fit, FitFile)
    held_out = hold_out(fit, logits, labels, 0)
    assert held_out is not None and held_out.source == str(tmp_path / "validation.npz")
    assert len(held_out.labels) == 50 and held_out.scored.tolist() == list(range(400))


def test_a_file_that_does_not_fit_the_test_set_is_refused() -> None:
    logits, labels = predictions(0)
    with pytest.raises(ValueError, match=r"--fit-on v.npz: 3 of its 10 predictions are also in the test set"):
        hold_out(FitFile("v.npz", np.concatenate([logits[5:8], logits[:7] + 1]), labels[:10]), logits, labels, 0)
    with pytest.raises(ValueError, match=r"--fit-on v.npz: 3 classes, the test set has 4"):
        hold_out(FitFile("v.npz", logits[:10, :3], labels[:10]), logits, labels, 0)
