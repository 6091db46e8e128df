"""Selective accuracy by sorting, prediction sets on held-out halves, and what calibration.json is made of."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline.calibration.confidence_curve import curve, selective_accuracy
from pipeline.calibration.scores import softmax, top_label
from pipeline.report.acting import acting_on, prediction_sets
from pipeline.report.calibrating import calibration_of, keep_calibration
from pipeline.report.held_out import hold_out_share, hold_out_validation
from pipeline.report.records import ActingReport
from pipeline.report.verified_predictions import RunSettings, VerifiedPredictions
from pipeline.runs.calibration_file import NAME, read_calibration
from tests.support.reports import predictions, report, write

SETTINGS = RunSettings(weights="ema")


def made(factor: float = 3, samples: int = 4000) -> VerifiedPredictions:
    """Of a network three times too sure."""
    logits, labels = predictions(0, factor, samples)
    return VerifiedPredictions(Path("run"), SETTINGS, logits, labels, step=600, validation=predictions(1, factor, 500))


def test_selective_accuracy_is_that_of_the_most_confident() -> None:
    logits, labels = predictions(0, samples=50)
    confidence, correct = top_label(softmax(logits.astype(float)), labels)
    ordered = correct[np.argsort(-confidence)]
    slow = [ordered[:k].mean() for k in range(1, 51)]
    assert np.allclose(selective_accuracy(curve(confidence, correct), np.arange(1, 51) / 50), slow)


def test_ties_count_in_random_order() -> None:
    points = curve(np.array([0.9, 0.5, 0.5, 0.5, 0.5]), np.array([1.0, 1.0, 0.0, 0.0, 1.0]))
    assert selective_accuracy(points, np.array([0.6]))[0] == pytest.approx((1 + 2 * 0.5) / 3)


def test_temperature_and_thresholds_come_from_different_images() -> None:
    of = made()
    held = hold_out_share(0.2, of.logits, of.labels, 0)
    found = calibration_of(of, held)
    assert found.temperature == pytest.approx(3, rel=0.1) and found.is_of("ema", 600)
    assert (found.num_images, found.images.num_images, found.pool) == (800, 3200, None)
    assert found.images.calibrated_on == "the rest of the test set"
    nine, *_ = found.images.accept
    confidence = softmax(of.logits[held.scored].astype(float) / found.temperature).max(axis=1)
    assert nine.threshold is not None and nine.accepted == (confidence >= nine.threshold).sum()
    assert nine.wrong / nine.accepted < 0.1
    assert found.images.conformal["lac"]["0.90"] < found.images.conformal["lac"]["0.95"]  # type: ignore[operator]
    assert list(found.images.conformal["aps"])[::49] == ["0.50", "0.99"]


def test_validation_images_serve_the_pool_only_where_they_were_drawn_with_it() -> None:
    of = made()
    apart = hold_out_validation(of)
    assert apart is not None and calibration_of(of, apart).images.calibrated_on == "the test set"
    drawn = replace(of, settings=replace(SETTINGS, validation_drawn=True))
    assert hold_out_validation(drawn) is None
    found = calibration_of(drawn, hold_out_share(0.2, of.logits, of.labels, 0))
    assert found.pool is not None and found.pool.num_images == 500


def test_sets_cover_what_they_promise() -> None:
    logits, labels = predictions(0, 1, 4000)
    for each in prediction_sets(softmax(logits.astype(float)), labels, 0):
        assert each.coverage == pytest.approx(each.wanted, abs=3) and each.num_images == 2000
        assert each.size > 1 and each.single <= 100


def test_a_folder_that_cannot_be_written_is_a_note(tmp_path: Path) -> None:
    of = replace(made(samples=100), path=tmp_path / "gone")
    held = hold_out_share(0.2, of.logits, of.labels, 0)
    assert "calibration.json not written" in keep_calibration(of, held)
    (tmp_path / "gone").mkdir()
    assert keep_calibration(of, held) == "" and read_calibration(tmp_path / "gone") == calibration_of(of, held)


def test_without_a_temperature_there_is_selective_accuracy_alone() -> None:
    found = acting_on(made(), None, 0)
    assert found == ActingReport(found.selective, "", (), ()) and found.selective[100] == pytest.approx(
        100 * (made().logits.argmax(axis=1) == made().labels).mean()
    )


def test_in_the_report(tmp_path: Path) -> None:
    """A file of predictions has no folder for a calibration to travel with."""
    facts = report(write(tmp_path / "a.npz", *predictions(0, 3, 2000)), "--posthoc", "temperature", tmp_path / "report")
    one = facts["runs"][0]["acting"]
    assert list(one["selective"]) == [str(c) for c in range(10, 101, 10)] and len(one["sets"]) == 6
    assert [each["precision"] for each in one["accept"]] == [0.9, 0.95, 0.98, 0.99]
    page = (tmp_path / "report/index.html").read_text()
    assert "Acting on confidence" in page and "right in 95%" in page and "APS, 90%" in page
    assert not (tmp_path / NAME).exists() and json.dumps(one)
