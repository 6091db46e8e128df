"""Figures of generated groups: what stands in them, and that no text overlaps."""

import numpy as np
import pytest

from pipeline.report.plots_groups import curve_figure, ends_figure, group_rows
from tests.report.test_plots import assert_readable, texts

RATIOS = np.linspace(0, 1, 8)


@pytest.mark.parametrize(("rows", "side"), [(1, 8), (5, 80)])
def test_rows_name_both_classes_and_both_numbers(rows: int, side: int) -> None:
    images = np.random.default_rng(0).integers(0, 256, (rows, 8, side, side, 3), np.uint8)
    shares = np.linspace(0.1, 0.9, rows * 8).reshape(rows, 8)
    figure = group_rows(images, shares, RATIOS, [("butterfly", "a very long $name$ of an apple")] * rows)
    words = [text.get_text() for text in texts(figure)]
    assert words.count("butterfly") == rows and sum(word.startswith("a ve…") for word in words) == rows
    assert [f"{ratio:.2f}" for ratio in RATIOS] == words[-8:] and f"{shares[-1, -1]:.2f}" in words
    assert len(figure.axes[0].images) == 8 * rows
    assert_readable(figure)


@pytest.mark.parametrize("pairs", [1, 45, 3000])
def test_curves(pairs: int) -> None:
    curves = np.sort(np.random.default_rng(0).random((pairs, 8)), axis=1)
    rising = np.arange(pairs) % 2 == 0
    figure = curve_figure(curves, RATIOS, rising)
    mean = next(line for line in figure.axes[0].lines if line.get_label() == "mean of all pairs")
    np.testing.assert_allclose(mean.get_ydata(), curves.mean(0))
    assert len(figure.axes[0].lines) <= 202
    assert_readable(figure)


@pytest.mark.parametrize("count", [3, 10, 20, 200])
def test_ends_stand_in_the_row_of_their_class(count: int) -> None:
    classes = [f"class {number}" for number in range(count)]
    pairs = np.stack(np.triu_indices(count, 1), 1)[1:]  # the first pair has no groups
    ends = np.random.default_rng(0).random((len(pairs), 2))
    figure = ends_figure(pairs, ends, classes)
    shares = figure.axes[0].images[0].get_array()
    a, b = pairs[0]
    assert shares[b, a] == ends[0, 0] and shares[a, b] == ends[0, 1] and np.ma.is_masked(shares[0, 1])
    assert_readable(figure)
