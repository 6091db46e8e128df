"""Accuracy against confidence: which lines count, what is drawn, what is said of runs that do not log it."""

import numpy as np
import pytest

from pipeline.report.plots_confidence import confidence_figure, lacking_confidence, track
from tests.report.test_plots import LINES, LONG, assert_readable


def log(evaluations: int, start: float = 20) -> list[dict[str, object]]:
    lines: list[dict[str, object]] = []
    for i in range(1, evaluations + 1):
        learned = 1 - 0.9**i
        lines.append({"step": 100 * i - 50, "loss": 1 - learned})
        line = {"step": 100 * i, "error": 100 - start - 60 * learned, "confidence": start + 75 * learned}
        lines.append(line)
    return lines


def test_evaluation_lines_become_a_track() -> None:
    found = track([*log(2), {"step": 300, "error": 5.0}])  # the last one without confidence
    assert found is not None
    assert found.confidence.tolist() == pytest.approx([27.5, 34.25])
    assert found.accuracy.tolist() == pytest.approx([26, 31.4])
    assert found.progress.tolist() == [50, 100]
    assert track(LINES) is None and track([]) is None


def test_runs_without_confidence_are_named_in_one_line() -> None:
    assert lacking_confidence([("a", log(2)), ("of a file", [])]) == []
    (line,) = lacking_confidence([("a", LINES), ("b", log(2)), ("c", LINES)])
    assert line == "a, c: no accuracy against confidence: metrics.jsonl has no `confidence`"


@pytest.mark.parametrize("runs", [1, 2, 3])
def test_a_panel_for_each_run_that_has_it(runs: int) -> None:
    given = [(LONG * 2, log(40)), ("b", log(1, 90)), ("c", log(30))][:runs]
    figure = confidence_figure([*given, ("old", LINES)])
    assert figure is not None
    panels = [axes for axes in figure.axes if axes.images]
    assert len(panels) == runs
    points = np.asarray(panels[0].collections[0].get_offsets())
    assert points[-1] == pytest.approx((20 + 75 * (1 - 0.9**40), 20 + 60 * (1 - 0.9**40)))
    assert len({(axes.get_xlim(), axes.get_ylim()) for axes in panels}) == 1  # one scale for all, the diagonal is one
    density = np.asarray(panels[0].images[0].get_array())
    row, column = np.unravel_index(density.argmax(), density.shape)
    low, high = panels[0].get_xlim()
    cell = (high - low) / 100
    assert low + cell * (column + 0.5) == pytest.approx(94, abs=3) and low + cell * (row + 0.5) == pytest.approx(
        79, abs=3
    )
    assert_readable(figure)


def test_nothing_without_confidence() -> None:
    assert confidence_figure([("old", LINES)]) is None
