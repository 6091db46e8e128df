"""Runs of a grid as curves against an option: which runs make a curve, at which value, and what is drawn."""

from pathlib import Path

import numpy as np
import pytest
import yaml

from pipeline.calibration.scores import metrics
from pipeline.config import DEFAULTS
from pipeline.report.against import OFF, against_table, curves, is_off
from pipeline.report.plots_against import against_figure
from pipeline.report.verified_predictions import RunSettings, VerifiedPredictions
from tests.report.test_plots import assert_readable
from tests.support.reports import predictions


def run(folder: Path, seed: int, **options: object) -> VerifiedPredictions:
    """A run whose predictions are those of `seed`, with these options in its config.yaml ("a.b" as a__b)."""
    name = "-".join([*(f"{key}{value}" for key, value in options.items()), str(seed)])
    path = folder / name
    path.mkdir()
    nested: dict[str, object] = {"algorithm": "supervised", "seed": seed, "out": name}
    for key, value in options.items():
        section, _, leaf = key.rpartition("__")
        (nested.setdefault(section, {}) if section else nested)[leaf] = value  # type: ignore[index]
    (path / "config.yaml").write_text(yaml.safe_dump(nested))
    return VerifiedPredictions(path, RunSettings(), *predictions(seed, 2))


@pytest.fixture
def runs(tmp_path: Path) -> list[VerifiedPredictions]:
    """Base, mixup with alpha .2 and 1, and features only with alpha .2; seeds 0 and 1 of each."""
    found = []
    for seed in (0, 1):
        found.append(run(tmp_path, seed, mix="none"))
        found += [run(tmp_path, seed, mix="mixup", mixing__alpha=alpha) for alpha in (1.0, 0.2)]
        found.append(run(tmp_path, seed, mix="mixup", mixing__alpha=0.2, mixing__targets="nearer"))
    return found


def test_runs_without_a_mix_stand_at_0_of_every_curve(runs: list[VerifiedPredictions]) -> None:
    found = curves(runs, "mixing.alpha")
    assert {name: [point.value for point in points] for name, points in found.items()} == {
        "supervised + mixup": [0, 0.2, 1],
        "supervised + mixup, mixing.targets=nearer": [0, 0.2],
    }
    point = found["supervised + mixup"][0]
    each = [metrics(*predictions(seed, 2)) for seed in (0, 1)]
    assert point.scores["ece"] == pytest.approx([one["ece"] for one in each])
    assert (point.mean("oe"), point.deviation("oe")) == pytest.approx(
        (np.mean([one["oe"] for one in each]), abs(each[0]["oe"] - each[1]["oe"]) / 2)
    )
    assert point.scores["accuracy"] == pytest.approx([100 - one["error"] for one in each])


def test_an_option_that_is_always_on_has_its_own_value(tmp_path: Path) -> None:
    runs = [run(tmp_path, 0, label_smoothing=0.1), run(tmp_path, 0), run(tmp_path, 0, label_smoothing=0.05)]
    (points,) = curves(runs, "label_smoothing").values()
    assert [point.value for point in points] == [0, 0.05, 0.1]
    runs = [run(tmp_path, 0, loss__name="focal", loss__gamma=2.0), run(tmp_path, 0, loss__name="ce")]
    assert [point.value for point in curves(runs, "loss.gamma")["supervised"]] == [0, 2]


@pytest.mark.parametrize("option", OFF)
def test_a_run_of_the_defaults_is_without(option: str) -> None:
    """Else plain runs would be in no curve, or refused."""
    assert is_off(DEFAULTS, option)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("mixing.alhpa", "no such option; did you mean mixing.alpha"),
        ("mixing.targets", "is mixed in .*mixnone-0, not a number"),
        ("loss.gamma", "plays no part in any of these runs"),
    ],
)
def test_options_that_make_no_curve_are_refused(option: str, message: str, runs: list[VerifiedPredictions]) -> None:
    with pytest.raises(ValueError, match=f"--against {option}: {message}"):
        curves(runs, option)


def test_a_base_run_that_is_like_no_other_is_refused(runs: list[VerifiedPredictions], tmp_path: Path) -> None:
    other = run(tmp_path, 2, mix="none", model__name="resnet-18", steps=7)
    with pytest.raises(ValueError, match=r"steps7-2: is no point at 0 of any curve: model.name, steps differ"):
        curves([*runs, other], "mixing.alpha")


def test_table_and_figure(runs: list[VerifiedPredictions]) -> None:
    found = curves(runs, "mixing.alpha")
    table = against_table(found, "mixing.alpha")
    assert [row[:3] for row in table.rows[:3]] == [("supervised + mixup", value, "2") for value in ("0", "0.2", "1")]
    assert all(cell.count(" ± ") == 1 for cell in table.rows[0][3:6])
    figure = against_figure(found, "mixing.alpha")
    assert [len(axes.containers) for axes in figure.axes] == [2, 2, 2]
    drawn = figure.axes[1].containers[0].lines[0]
    assert list(drawn.get_xdata()) == [0, 0.2, 1]
    assert drawn.get_ydata() == pytest.approx([point.mean("oe") for point in found["supervised + mixup"]])
    assert_readable(figure)


def test_scores_that_are_asked_for(runs: list[VerifiedPredictions], tmp_path: Path) -> None:
    found = curves(runs, "mixing.alpha")
    wanted = ("ece15", "oe_plain", "ue_plain")
    table = against_table(found, "mixing.alpha", wanted)
    assert table.header[3:] == ("ECE-15 %", "OE plain %", "UE plain %", "floor %")
    for point in found["supervised + mixup"]:
        assert point.scores["oe_plain"] + point.scores["ue_plain"] == pytest.approx(point.scores["ece15"])
    figure = against_figure(found, "mixing.alpha", wanted)
    assert [axes.get_ylabel() for axes in figure.axes] == ["ECE-15 (%)", "OE plain (%)", "UE plain (%)"]
    assert [len(axes.containers) for axes in figure.axes] == [2, 2, 2]
    assert_readable(figure)
