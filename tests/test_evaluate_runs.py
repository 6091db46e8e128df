"""The calibration report of a trained run: its network, its checkpoints, its images; and what may be missing."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline import config, train
from pipeline.calibration.scores import metrics
from pipeline.data.batches import part_sources
from pipeline.data.dataset import open_dataset
from pipeline.data.streams import VirtualShards
from pipeline.evaluate import main
from pipeline.report.hull_walk import MU
from pipeline.report.inputs import read_inputs
from pipeline.report.networks import sample_pseudo_labels, subjects_with_networks
from pipeline.report.options import ReportOptions
from pipeline.report.pseudo_label_sample import PseudoLabelSample
from pipeline.report.restore import Restored, restore, saved_tensor
from pipeline.training.training_run import APM_TABLE
from tests.support.ranks import alone
from tests.support.reports import refused, report, write

CONFIG = Path(__file__).parents[1] / "configs/digits.yaml"


# Figures of a report without images.
SHOWN = ["reliability", "winning-score", "accuracy-coverage", "training", "confidence", "pseudo-labels"]


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of 16 steps on the digits."""
    out = tmp_path_factory.mktemp("runs") / "calibratemix"
    small = ["steps=16", "log_every=2", "eval_every=8", "checkpoint_every=8", "threads=1", "batch.labelled=8"]
    given = [f"data={data}", f"out={out}", "mix=calibratemix", "model.dropout=0.3", "precision=fp32", *small]
    assert train.main(["--config", str(CONFIG), "--set", *given]) == 0
    return out


@pytest.mark.slow
def test_report_of_a_trained_run(run: Path, tmp_path: Path) -> None:
    with np.load(run / "predictions.npz") as saved:
        other = write(tmp_path / "other.npz", saved["logits"][:, ::-1], saved["labels"])
    asked = ("--ood", write_ood(tmp_path), "--mc-dropout", "3", "--hull-walk", "5")
    facts = report(run, other, *asked, tmp_path / "report")
    one, _, mean = facts["runs"]
    assert (one["step"], one["weights"], one["note"], one["num_classes"]) == (16, "ema", "", 10)
    assert set(facts["figures"]) == {
        "reliability-1", "winning-score-1", "margins-1", "wrong-pseudo-labels-1", "reliability-2", "winning-score-2",
        "reliability-3", "winning-score-3", "training", "confidence", "pseudo-labels", "disagreement-1-2",
        "disagreement-1-3", "hull-walk", "accuracy-coverage",
    }  # fmt: skip
    assert set(one["ood"]) == set(one["ood_scaled"]) == {"ood.npz", "Gaussian noise"}
    assert mean["name"] == f"{one['name']}, MC dropout" and set(mean["ood"]) == {"Gaussian noise"}
    assert 0 < abs(mean["scores"]["nll"]["value"] - one["scores"]["nll"]["value"]) < 0.5
    assert set(one["walks"]) == set(mean["walks"]) == {"", "temperature-scaled"}
    assert len((tmp_path / "report" / "hull-walk.csv").read_text().splitlines()) == 1 + 4 * len(MU)
    page = (tmp_path / "report" / "index.html").read_text()
    assert "the APM, the average pseudo-margin" in page and page.count("data:image/png") == 15
    assert re.search(r"Their files in the source: \d{4}, \d{4}", page), "images cannot be traced"


def write_ood(folder: Path) -> Path:
    return write(folder / "ood.npz", np.random.default_rng(0).normal(size=(50, 10)), np.zeros(50, dtype=int))


@pytest.mark.slow
def test_images_of_another_folder_are_told_apart_or_not(run: Path, data: Path, tmp_path: Path) -> None:
    same = tmp_path / "same"
    shutil.copytree(data / "digits", same)
    found = report(run, "--ood", same, "--images", "0", tmp_path / "report")["runs"][0]["ood"]["same"]
    assert found["num_images"] == 500  # and these are the test images themselves
    assert all(found[score]["auroc"] == pytest.approx(50) for score in ("max-softmax", "entropy", "energy"))


def read(run: Path, weights: str | None, step: int | None) -> tuple[np.ndarray, int | None]:
    """Logits and step of what a report of these weights and this checkpoint is about."""
    options = ReportOptions(runs=(run,), weights=weights, checkpoint=step, images=0)
    (subject,) = subjects_with_networks(read_inputs(options), options)
    return subject.predictions.logits, subject.predictions.step


def test_weights_and_steps_of_checkpoints(run: Path) -> None:
    saved, newest = read(run, None, None), read(run, "ema", None)
    np.testing.assert_allclose(newest[0], saved[0], rtol=0, atol=1e-5)  # the network gives predictions.npz again
    assert saved[1] == newest[1] == 16
    raw, older = read(run, "raw", None), read(run, None, 8)
    assert (raw[1], older[1]) == (16, 8)
    assert np.abs(raw[0] - saved[0]).max() > 1e-3 and np.abs(older[0] - saved[0]).max() > 1e-3


def test_a_run_in_a_format_that_only_gpus_have_is_evaluated_anywhere(run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    options = copy / "config.yaml"
    options.write_text(options.read_text().replace("precision: fp32", "precision: tf32"))
    np.testing.assert_array_equal(read(copy, "ema", None)[0], read(run, "ema", None)[0])


def restored(ranks: Any, run: Path) -> Restored:
    return restore(run, None, "ema", None, ranks)


def sampled(ranks: Any, run: Path) -> PseudoLabelSample:
    found = sample_pseudo_labels(restored(ranks, run), 5000)
    assert found is not None
    return found


def test_rows_of_the_saved_tables_are_found(run: Path) -> None:
    """The visits in the checkpoint are those of the stream, image by image: so are the margins beside them."""
    of = alone(restored, run)
    settings = config.load(run / "config.yaml")
    dataset = open_dataset(settings)
    shards = VirtualShards.of(dataset.num_train, settings.batch.labelled, settings.unlabelled_batch)
    drawn = part_sources(settings, dataset, shards)["unlabelled"].order.draw(0, 16)[0]
    visits = saved_tensor(of.checkpoint, APM_TABLE.replace("table", "visits"))
    assert visits is not None and saved_tensor(of.checkpoint, "no.such") is None
    rows = shards.row_of(np.arange(dataset.num_train), 0, 1)
    np.testing.assert_array_equal(visits.numpy()[rows], np.bincount(drawn.ravel(), minlength=dataset.num_train))
    seen = alone(sampled, run)
    np.testing.assert_array_equal(seen.index, np.setdiff1d(np.arange(dataset.num_train), dataset.split))
    assert seen.is_apm  # 0 until the first visit
    np.testing.assert_array_equal(seen.margin != 0, visits.numpy()[rows][seen.index] > 0)


def test_run_whose_data_are_gone_has_a_report_without_images(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(run, moved)
    text = (moved / "config.yaml").read_text()
    (moved / "config.yaml").write_text(re.sub("^data: .*$", "data: /gone", text, flags=re.MULTILINE))
    facts = report(moved, tmp_path / "report")
    assert facts["figures"] == SHOWN
    assert "no such data set" in capsys.readouterr().out
    for asked in (("--data", "/gone"), ("--weights", "raw"), ("--ood", "cifar10")):
        assert "/gone/digits/manifest.json: no such data set" in refused(capsys, moved, *asked)


def test_labels_of_another_data_set_are_refused(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    with np.load(run / "predictions.npz") as saved:
        predictions = saved["logits"], np.roll(saved["labels"], 1)
    write(copy / "predictions.npz", *predictions)
    assert "the two files do not belong to the same run" in refused(capsys, copy)
    result = json.loads((run / "result.json").read_text())
    (copy / "result.json").write_text(json.dumps(result | metrics(*predictions)))
    assert "its labels differ from those of" in refused(capsys, copy)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--checkpoint", "5"), "--checkpoint 5: "),
        (("--ood", "nowhere"), "--ood nowhere: no such data folder"),
        (("--ood", "digits"), "--ood digits: is the run's own data set"),
    ],
)
def test_options_that_do_not_fit_the_run_are_refused(
    arguments: tuple[str, ...], message: str, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert main([str(run), *arguments]) == 2
    assert message in capsys.readouterr().err


def test_damaged_checkpoint_is_refused(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One byte of a weight is other than the manifest says: the file could be loaded, and would be a lie."""
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    shard = next((copy / "checkpoints" / "step-00000016").glob("*.distcp"))
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    told = f"step-00000016: is damaged ({shard.name} has changed); choose another --checkpoint"
    assert told in refused(capsys, copy, "--weights", "raw")
    assert read(copy, None, 8)[1] == 8
    capsys.readouterr()
    assert report(copy, tmp_path / "report")["figures"] == SHOWN
    assert told in capsys.readouterr().out  # predictions.npz has the numbers; only the images are missing


@pytest.fixture(scope="module")
def selecting(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A supervised run of 6 steps that held out 97 images, and selected one of three evaluations by them."""
    out = tmp_path_factory.mktemp("runs") / "supervised"
    small = ["steps=6", "eval_every=2", "checkpoint_every=6", "threads=1", "batch.labelled=64", "model.name=wrn-10-1"]
    chosen = ["validation=97", "evaluation.select=best_validation", "evaluation.weights=raw", "optimizer.lr=1"]
    given = [f"data={data}", f"out={out}", "algorithm=supervised", "labels=all", *small, *chosen]
    assert train.main(["--config", str(CONFIG), "--set", *given]) == 0
    return out


def test_post_hoc_methods_are_fitted_on_validation_images(selecting: Path, tmp_path: Path) -> None:
    facts = report(selecting, "--posthoc", "temperature", "--images", "0", tmp_path / "r")
    found = facts["runs"][0]["post_hoc"]
    assert (found["source"], found["fitted_on"], found["scored_on"]) == ("the validation images of the run", 97, 500)
    assert "confidence" in facts["figures"]  # of its evaluation lines
    own = report(selecting, "--posthoc", "temperature", "--images", "0", "--weights", "raw", tmp_path / "raw")
    same = own["runs"][0]["post_hoc"]["methods"]["temperature"]  # validation images predicted by the network
    assert same["nll"] == pytest.approx(found["methods"]["temperature"]["nll"], abs=1e-4)


def test_weak_views_and_proximity(selecting: Path, tmp_path: Path) -> None:
    facts = report(selecting, "--tta", "2", "--piece", "--images", "0", tmp_path / "r")
    one, mean = facts["runs"]
    assert mean["name"] == f"{one['name']}, 2 weak views" and mean["ood"] == {}
    assert mean["post_hoc"]["source"] == one["post_hoc"]["source"] == "the validation images of the run"
    assert mean["scores"]["nll"]["value"] != one["scores"]["nll"]["value"]
    for run in (one, mean):
        assert list(run["piece"]) == ["none", "temperature", "temperature-by-ece"]
        assert run["piece"]["none"] >= run["scores"]["ece15"]["value"] - 1e-9
        assert run["piece"]["temperature"] >= run["post_hoc"]["methods"]["temperature"]["ece15"] - 1e-9
    page = (tmp_path / "r" / "index.html").read_text()
    assert "Calibration by proximity" in page and "temperature by ECE" in page


def test_selected_weights_are_those_of_the_result(selecting: Path, tmp_path: Path) -> None:
    logits, step = read(selecting, "selected", None)
    chosen = json.loads((selecting / "result.json").read_text())["selected"]
    assert step == chosen["step"]
    with np.load(selecting / "predictions.npz") as saved:
        np.testing.assert_allclose(logits, saved["selected_logits"], rtol=0, atol=1e-4)


def test_selected_weights_that_are_not_there_are_refused(
    run: Path, selecting: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "selected.pt is missing; train with evaluation.select" in refused(capsys, run, "--weights", "selected")
    assert "leave --checkpoint out" in refused(capsys, selecting, "--weights", "selected", "--checkpoint", "6")
    copy = tmp_path / "run"
    shutil.copytree(selecting, copy)
    (copy / "selected.pt").write_bytes((copy / "selected.pt").read_bytes()[:900])
    assert "selected.pt: cannot be loaded (" in refused(capsys, copy, "--weights", "selected")
