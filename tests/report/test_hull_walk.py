"""The walk out of the hull: where it leads, and what its points say."""

import csv
import io
from pathlib import Path

import numpy as np
import pytest

from pipeline.data.central_crops import CentralCrops
from pipeline.report.hull_walk import MU, direction, walk_csv, walk_points
from pipeline.report.plots_walk import walk_figure
from pipeline.report.records import WalkPoint
from pipeline.report.walk_images import WalkImages
from tests.report.test_plots import LONG, assert_readable


def test_distances_go_from_a_hundredth_to_a_hundred() -> None:
    assert (MU[0], MU[-1]) == pytest.approx((0.01, 100))
    assert np.diff(np.log(MU)) == pytest.approx(np.log(10) / 5)


def test_directions_are_unit_vectors_of_uniform_numbers() -> None:
    drawn = np.stack([direction(0, index, 300) for index in range(50)])
    np.testing.assert_allclose(np.linalg.norm(drawn, axis=1), 1)
    scaled = drawn / np.abs(drawn).max(axis=1, keepdims=True)  # uniform in (-1, 1), nearly
    assert np.quantile(scaled, [0.25, 0.5, 0.75]) == pytest.approx([-0.5, 0, 0.5], abs=0.03)
    assert np.abs(np.corrcoef(drawn) - np.eye(50)).max() < 0.3
    assert not np.allclose(direction(1, 0, 300), drawn[0])


def test_an_image_moves_by_mu_whatever_the_batches(data: Path) -> None:
    def walked(num: int, batch: int) -> np.ndarray:
        crops = CentralCrops(data / "digits/test.beton", 16, batch, 1, indices=np.arange(num))
        return np.concatenate([each.numpy() for each in WalkImages(crops, batch, 3).batches()])

    whole = walked(6, 100)
    assert whole.shape == (6 * len(MU), 3, 16, 16)
    for other in (walked(6, 4), walked(6, 50)):
        np.testing.assert_array_equal(other, whole)
    np.testing.assert_array_equal(walked(2, 100), whole[: 2 * len(MU)])
    stored = next(CentralCrops(data / "digits/test.beton", 16, 6, 1, indices=np.arange(6)).batches()).numpy()
    away = whole.reshape(6, len(MU), -1).astype(float) / 255 - stored.reshape(6, 1, -1) / 255
    np.testing.assert_allclose(np.linalg.norm(away, axis=2), np.tile(MU, (6, 1)), rtol=1e-4)
    unit = away / np.linalg.norm(away, axis=2, keepdims=True)
    np.testing.assert_allclose(unit[:, 3:], unit[:, -1:].repeat(len(MU) - 3, axis=1), atol=1e-4)  # one way all along


def test_points_by_hand() -> None:
    logits = np.zeros((2, len(MU), 3))
    logits[0, 0] = np.log([0.5, 0.25, 0.25])
    first, second = walk_points(logits, np.array([0, 2]))[:2]
    entropies = 1.5 * np.log(2), np.log(3)
    assert first == WalkPoint(MU[0], 50, pytest.approx(50 * (0.5 + 1 / 3)), pytest.approx(np.mean(entropies)))
    assert second.entropy == pytest.approx(np.log(3))


def points(level: float) -> list[WalkPoint]:
    return [WalkPoint(mu, level, level / 2, level / 50) for mu in MU]


def test_csv_has_a_line_for_each_run_way_and_distance() -> None:
    rows = list(csv.DictReader(io.StringIO(walk_csv({"a, b": {"": points(90), "scaled": points(80)}}))))
    assert len(rows) == 2 * len(MU)
    assert rows[0] == {
        "run": "a, b", "logits": "plain", "mu": "0.01", "accuracy": "90", "confidence": "45", "entropy": "1.8"
    }  # fmt: skip
    assert rows[-1]["logits"] == "scaled"


def test_figure_draws_a_twin_where_it_differs() -> None:
    figure = walk_figure({LONG * 2: {"": points(90), "temperature-scaled": points(80)}, "b": {"": points(70)}})
    assert [len(axes.get_lines()) for axes in figure.axes] == [2, 3, 3]
    assert list(figure.axes[0].get_lines()[0].get_ydata()) == [90] * len(MU)
    assert_readable(figure)
