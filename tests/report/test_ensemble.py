"""Ensembles: one run is itself, several are their mean, and which runs cannot be averaged."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline.calibration.scores import metrics, softmax
from pipeline.report.assessment import out_of_distribution
from pipeline.report.ensemble import ensemble
from pipeline.report.hull_walk import Walk
from pipeline.report.subjects import Subject
from pipeline.report.verified_predictions import RunSettings, VerifiedPredictions
from tests.support.reports import predictions, refused, report, write


def subject(seed: int, walk: bool = True) -> Subject:
    """Predictions of `seed`, with labels, out-of-distribution images and a walk that are alike for all seeds."""
    logits, labels = predictions(seed, 2)[0], predictions(0)[1]
    others = {"same": logits[:50] / 9, f"of {seed}": logits}
    of = VerifiedPredictions(Path(f"runs/{seed}"), RunSettings(weights="ema"), logits, labels)
    found = Walk(logits[:40].reshape(8, 5, 4), labels[:8]) if walk else None
    return Subject(name=str(seed), predictions=of, classes="abcd", ood_logits=others, walk=found)


def test_of_one_is_its_run() -> None:
    one = subject(0)
    twin = ensemble([one])
    assert twin.name == "ensemble of 1" and twin.predictions.settings.weights == "ema"
    expected = metrics(one.predictions.logits, one.predictions.labels)
    assert metrics(twin.predictions.logits, twin.predictions.labels) == pytest.approx(expected, abs=1e-9)
    assert list(twin.ood_logits) == ["same", "of 0"]


def test_of_several_is_the_mean_of_their_probabilities() -> None:
    members = [subject(seed) for seed in range(3)]
    found = ensemble(members)

    def mean(logits: list[np.ndarray]) -> np.ndarray:
        return np.mean([softmax(each.astype(float)) for each in logits], axis=0)

    np.testing.assert_allclose(np.exp(found.predictions.logits), mean([m.predictions.logits for m in members]))
    np.testing.assert_allclose(np.exp(found.ood_logits["same"]), mean([m.ood_logits["same"] for m in members]))
    assert list(found.ood_logits) == ["same"]  # what all members have seen
    assert found.walk is not None and members[0].walk is not None and found.walk.logits.shape == (8, 5, 4)
    np.testing.assert_allclose(np.exp(found.walk.logits[7, 4]), mean([m.predictions.logits[39:40] for m in members])[0])
    assert ensemble([members[0], subject(1, walk=False)]).walk is None
    detected = out_of_distribution(found.predictions.logits, found.ood_logits)["same"].detection
    assert set(detected) == {"max-softmax", "entropy"}  # the energy of log-probabilities is 0


def test_validation_images_are_shared_or_left_out() -> None:
    one, other = (subject(seed) for seed in (0, 1))
    logits, labels = predictions(2, samples=30)
    first = replace(one, predictions=replace(one.predictions, validation=(logits, labels)))
    same = replace(other, predictions=replace(other.predictions, validation=(-logits, labels)))
    found = ensemble([first, same]).predictions.validation
    assert found is not None and found[1] is labels
    mean = (softmax(logits.astype(float)) + softmax(-logits.astype(float))) / 2
    np.testing.assert_allclose(np.exp(found[0]), mean)
    seen = replace(other, predictions=replace(other.predictions, validation=(logits, labels[::-1])))
    for members in ([first, seen], [first, other]):
        assert ensemble(members).predictions.validation is None


def test_runs_that_do_not_go_together_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    logits, labels = predictions(0)
    one, other = (write(tmp_path / name / "predictions.npz", logits, labels) for name in "ab")
    shuffled = write(tmp_path / "c.npz", logits, labels[::-1])
    assert "test labels differ" in refused(capsys, one, shuffled, "--ensemble")
    assert f"--ensemble {shuffled}: is none of the runs" in refused(capsys, one, other, "--ensemble", shuffled)
    for file, dataset in ((one, "cifar10"), (other, "svhn")):
        (file.parent / "config.yaml").write_text(f"dataset: {dataset}\n")
        (file.parent / "result.json").write_text(json.dumps(metrics(logits, labels)))
    message = refused(capsys, one.parent, other.parent, "--ensemble")
    assert f"--ensemble: {other.parent} was trained on svhn, {one.parent} on another data set" in message


def test_a_report_has_it_after_the_runs(tmp_path: Path) -> None:
    files = [write(tmp_path / f"{seed}.npz", predictions(seed)[0], predictions(0)[1]) for seed in range(3)]
    facts = report(*files, "--fit-on", "0", "--ensemble", *files[:2], "--images", "0", tmp_path / "r")
    assert [run["name"] for run in facts["runs"]] == ["0.npz", "1.npz", "2.npz", "ensemble of 2"]
