"""Figures of a report: what they show, that they say what the numbers say, and that no text overlaps."""

from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.container import BarContainer
from matplotlib.figure import Figure
from matplotlib.text import Text

from pipeline.calibration.reliability import reliability_bins
from pipeline.report.figures import figures_of_run
from pipeline.report.plot_style import LINES as LOOKS
from pipeline.report.plot_style import line_look
from pipeline.report.plots_density import margin_figure, winning_score_figure
from pipeline.report.plots_images import (
    PredictionSummary,
    disagreement_figure,
    disagreements,
    image_grid,
    percent,
    wrong_caption,
)
from pipeline.report.plots_training import progress_figure, pseudo_label_figure, series, thinned
from pipeline.report.pseudo_label_sample import PseudoLabelSample
from pipeline.report.subjects import Subject
from pipeline.report.verified_predictions import RunSettings, VerifiedPredictions

LONG = "very long $class$ name of a bird"
LINES = [
    {"step": 10, "loss": 1.0, "mask_rate": 0.1, "impurity": None},
    {"step": 20, "loss": 0.9, "mask_rate": 0.3, "impurity": 0.25},
    {"step": 20, "error": 60.0, "ece": 12.0},
]


def texts(figure: Figure) -> list[Text]:
    """Every text that is drawn; ticks beyond an axis and those of axes that are off are not."""
    figure.canvas.draw()
    shown = [text for part in (figure, *figure.subfigs) for text in part.texts]
    shown += [text for legend in figure.legends for text in legend.get_texts()]
    for axes in figure.findobj(Axes):
        shown += [axes.title, axes._left_title, *axes.texts]
        if axes.axison:
            shown += [axes.xaxis.label, axes.yaxis.label]
            for axis, (low, high) in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim())):
                shown += [tick.label1 for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high]
    return [text for text in shown if text.get_visible() and text.get_text().strip()]


def assert_readable(figure: Figure) -> None:
    """No two texts overlap and none leaves the page."""
    boxes = [(text.get_text(), text.get_window_extent()) for text in texts(figure)]
    overlapping = [(a, b) for (a, first), (b, second) in combinations(boxes, 2) if _overlap(first, second)]
    assert overlapping == []
    page = figure.bbox.padded(1)
    outside = [
        text for text, box in boxes if box.x0 < page.x0 or box.y0 < page.y0 or box.x1 > page.x1 or box.y1 > page.y1
    ]
    assert outside == []


def _overlap(first: object, second: object) -> bool:
    shrunk = first.padded(-1)  # type: ignore[attr-defined]  # touching is not overlapping
    return bool(shrunk.overlaps(second))


def sample(samples: int = 300, unknown: int = 0) -> PseudoLabelSample:
    generator = np.random.default_rng(0)
    truth, pseudo_label = generator.integers(0, 3, samples), generator.integers(0, 3, samples)
    truth[:unknown] = -1
    return PseudoLabelSample(
        index=np.arange(samples),
        pseudo_label=pseudo_label,
        truth=truth,
        confidence=generator.random(samples),
        margin=generator.normal(1, 2, samples),
        is_apm=True,
    )


def test_reliability_has_the_bins_of_the_run() -> None:
    logits, labels = np.random.default_rng(0).normal(size=(60, 3)), np.arange(60) % 3
    of = VerifiedPredictions(path=Path("a"), settings=RunSettings(ece_bins=4), logits=logits, labels=labels)
    subject = Subject(name="a", predictions=of, classes="xyz", ood_logits={})
    upper, histogram = next(figures_of_run(subject, {})).figure.axes
    assert [len(bars) for bars in histogram.containers] == [4]
    bins = reliability_bins(logits, labels, 4)
    accuracy, *gaps = (c for c in upper.containers if isinstance(c, BarContainer))
    assert [bar.get_height() for bar in accuracy] == pytest.approx(bins.accuracy[bins.count > 0])
    reached = sorted((bar.get_x(), bar.get_y() + bar.get_height()) for bars in gaps for bar in bars)
    assert [top for _, top in reached] == pytest.approx(bins.confidence[bins.count > 0])  # from accuracy to confidence


def test_lines_of_metrics_become_series() -> None:
    steps, values = series(LINES, "impurity")
    assert (steps.tolist(), values.tolist()) == ([20], [0.25])
    assert series(LINES, "missing")[0].size == 0
    steps, values = thinned(np.arange(1000.0), np.arange(1000.0) * 2, 300)
    assert len(steps) == 250 and steps[0] == 1.5 and values[-1] == 2 * 997.5
    assert [part.tolist() for part in thinned(np.arange(5.0), np.ones(5), 2)] == [
        [1, 3.5],
        [1, 1],
    ]  # a shorter last one


def test_training_figures_show_every_run() -> None:
    runs = [(LONG * 3, LINES), ("none", []), ("b", [{**line, "step": 2 * line["step"]} for line in LINES])]
    progress, pseudo = progress_figure(runs), pseudo_label_figure(runs)
    assert progress is not None and pseudo is not None
    assert [axes.get_ylabel() for axes in progress.axes] == ["Training loss", "Error (%)", "ECE (%)"]
    assert [len(axes.get_lines()) for axes in (*progress.axes, *pseudo.axes)] == [2, 2, 2, 2, 2]
    assert pseudo.axes[0].get_lines()[0].get_ydata() == pytest.approx([25])  # percent
    for figure in (progress, pseudo):
        assert_readable(figure)


def test_plain_over_and_underconfidence_are_shown_where_a_run_logs_them() -> None:
    newer = [*LINES, {"step": 30, "error": 50.0, "ece": 9.0, "oe_plain": 6.0, "ue_plain": 3.5}]
    figure = progress_figure([("a", newer), ("b", LINES)])
    assert figure is not None
    assert [axes.get_ylabel() for axes in figure.axes[3:]] == ["OE, plain (%)", "UE, plain (%)"]
    assert [line.get_ydata().tolist() for axes in figure.axes[3:] for line in axes.get_lines()] == [[6.0], [3.5]]
    assert_readable(figure)


def test_many_lines_are_told_apart() -> None:
    assert len({line_look(number) for number in range(24)}) == 24
    assert [line_look(number) for number in range(6)] == list(LOOKS)


def test_training_figures_leave_out_what_no_run_says() -> None:
    assert progress_figure([("a", [])]) is None
    only_mask = pseudo_label_figure([("a", LINES[:1])])
    assert only_mask is not None and [axes.get_ylabel() for axes in only_mask.axes] == ["Used, mask rate (%)"]


def test_winning_score_densities_integrate_to_one() -> None:
    generator = np.random.default_rng(0)
    confidence, correct = generator.random(500), generator.integers(0, 2, 500).astype(float)
    figure = winning_score_figure(confidence, correct, {LONG * 2: generator.random(90), "Gaussian noise": np.ones(5)})
    outlines = [patch for patch in figure.axes[0].patches if not patch.get_fill()]
    assert len(outlines) == 4 == len({patch.get_linestyle() for patch in outlines})  # told apart in grey too
    for patch in outlines:
        values, edges, _ = patch.get_data()
        assert (values * np.diff(edges)).sum() == pytest.approx(1)
    assert_readable(figure)


def test_winning_score_of_a_perfect_classifier_has_no_wrong_ones() -> None:
    figure = winning_score_figure(np.array([0.5, 1.0]), np.ones(2), {})
    assert len([patch for patch in figure.axes[0].patches if not patch.get_fill()]) == 1


@pytest.mark.parametrize(("unknown", "groups"), [(0, 2), (40, 3), (300, 1)])
def test_margin_histogram_holds_every_image(unknown: int, groups: int) -> None:
    of = sample(unknown=unknown)
    figure = margin_figure(of)
    containers = figure.axes[0].containers
    assert len(containers) == groups
    assert sum(bar.get_height() for bars in containers for bar in bars) == pytest.approx(1)
    if unknown == 0:
        hard = of.margin < np.median(of.margin)
        assert f"hard (left of the line): {of.wrong[hard].mean():.1%} wrong; " in figure.axes[0].get_title(loc="left")
    assert_readable(figure)


def test_margins_that_are_all_alike_are_drawn() -> None:
    assert margin_figure(replace(sample(20), margin=np.ones(20), is_apm=False)).axes


def test_the_worst_pseudo_labels_are_the_surest_wrong_ones() -> None:
    of = replace(
        sample(5),
        truth=np.array([0, 1, 2, -1, 0]),
        pseudo_label=np.array([1, 1, 0, 2, 2]),
        confidence=np.array([0.6, 0.99, 0.9, 0.95, 0.7]),
    )
    assert of.most_confident_wrong(2).tolist() == [2, 4] and of.most_confident_wrong(9).tolist() == [2, 4, 0]


@pytest.mark.parametrize("number", [1, 4, 7])
def test_image_grid_shows_each_image_under_its_caption(number: int) -> None:
    images = np.random.default_rng(0).integers(0, 256, (number, 8, 8, 3), dtype=np.uint8)
    figure = image_grid(images, [wrong_caption(LONG, 0.9999, LONG)] * number)
    shown = [axes for axes in figure.axes if axes.images]
    assert len(shown) == number
    np.testing.assert_array_equal(shown[-1].images[0].get_array(), images[-1])
    assert shown[0].get_title().endswith("99.9%")
    assert_readable(figure)


def test_confidence_below_one_never_reads_as_certain() -> None:
    assert [percent(c) for c in (1.0, 0.99999, 0.5)] == ["100.0%", "99.9%", "50.0%"]


def two_runs() -> tuple[PredictionSummary, PredictionSummary, np.ndarray]:
    labels = np.array([0, 0, 0, 0, 1, 1])
    first = PredictionSummary("A (a)", np.array([1, 1, 1, 0, 1, 2]), np.array([0.99, 0.6, 0.9, 0.8, 0.7, 0.5]))
    second = PredictionSummary("B (b)", np.array([1, 2, 0, 1, 1, 2]), np.array([0.5, 0.55, 0.8, 0.95, 0.6, 0.9]))
    return first, second, labels


def test_disagreements_of_both_directions() -> None:
    cases = disagreements(*two_runs())
    assert [case.title for case in cases] == [
        "Both are wrong, one far more confident", "Only B (b) is right", "Only A (a) is right",
    ]  # fmt: skip
    assert [case.index.tolist() for case in cases] == [[0, 5, 1], [2], [3]]
    assert [case.index.tolist() for case in disagreements(*two_runs(), maximum=1)] == [[0], [2], [3]]


def test_runs_that_agree_have_no_cases() -> None:
    first, _, _ = two_runs()
    assert disagreements(first, first, first.predicted) == []


def test_disagreement_figure_says_what_each_run_said() -> None:
    first, second, labels = two_runs()
    cases = disagreements(first, second, labels)
    images = [np.zeros((len(case.index), 96, 96, 3), dtype=np.uint8) for case in cases]
    figure = disagreement_figure(cases, images, (first, second), labels, ["cat", LONG, "dog"])
    titles = [axes.get_title() for part in figure.subfigs for axes in part.axes if axes.images]
    assert titles[0].splitlines()[0] == "is cat" and titles[0].endswith("50.0%") and len(titles) == 5
    assert_readable(figure)
