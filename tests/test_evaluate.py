"""The calibration report from the command line: of prediction files, of a trained run, of several; and mistakes."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline import config, train
from pipeline.calibration import metrics, softmax
from pipeline.dataset import open_dataset
from pipeline.evaluate import main
from pipeline.report.figures import PNG_DPI
from pipeline.report.restore import Restored, restore, saved_tensor
from pipeline.report.scores import SCORES
from pipeline.report.subjects import Source, read_subjects
from pipeline.state import build_order
from pipeline.streams import VirtualShards
from tests.ranks import alone

QUICK = ("--draws", "30", "--floor-draws", "20")
CONFIG = Path(__file__).parents[1] / "configs/digits.yaml"


def predictions(seed: int, factor: float = 1.0, samples: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """Calibrated logits times `factor`, and their labels, alike for all factors."""
    generator = np.random.default_rng(seed)
    logits = 2 * generator.standard_normal((samples, 4))
    cumulative = softmax(logits).cumsum(axis=1)
    labels = np.minimum((cumulative < generator.random((samples, 1))).sum(axis=1), 3)
    return (factor * logits).astype(np.float32), labels


def write(path: Path, logits: np.ndarray, labels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, logits=logits, labels=labels)
    return path


def report(*arguments: object) -> dict[str, Any]:
    """report.json of a command that must succeed; the last argument is the report folder."""
    assert main([*map(str, arguments[:-1]), *QUICK, "--out", str(arguments[-1])]) == 0
    return json.loads((Path(str(arguments[-1])) / "report.json").read_text())


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of 16 steps on the digits."""
    out = tmp_path_factory.mktemp("runs") / "calibratemix"
    small = ["steps=16", "log_every=2", "eval_every=8", "checkpoint_every=8", "threads=1", "batch.labelled=8"]
    given = [f"data={data}", f"out={out}", "mix=calibratemix", "precision=fp32", *small]
    assert train.main(["--config", str(CONFIG), "--set", *given]) == 0
    return out


def test_report_of_a_file_of_predictions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    logits, labels = predictions(0, factor=3)
    facts = report(write(tmp_path / "own <i>.npz", logits, labels), tmp_path / "report")
    (one,) = facts["runs"]
    expected = metrics(logits, labels)
    assert {name: one["scores"][name]["value"] for name in expected if name != "num_samples"} == pytest.approx(
        {name: value for name, value in expected.items() if name != "num_samples"}, abs=1e-9
    )
    assert list(one["scores"]) == list(SCORES) and one["num_samples"] == 400
    assert one["ece_by_bins"]["10"] == pytest.approx(expected["ece"])
    assert one["scores"]["ece"]["low"] > one["scores"]["ece"]["floor_high"]  # three times too sure
    assert facts["figures"] == ["reliability", "winning-score"]
    assert "note: own <i>.npz: no figures of images: a file of predictions has no network" in capsys.readouterr().out


def test_page_is_whole_and_files_are_there(tmp_path: Path) -> None:
    facts = report(write(tmp_path / "own <i>.npz", *predictions(0)), tmp_path / "report")
    page = (tmp_path / "report" / "index.html").read_text()
    assert "own &lt;i&gt;" in page and "<i>" not in page and "$\\" not in page
    assert not re.search(r"https?:|<script|<link|@import", page)  # nothing is fetched
    assert page.count("data:image/png;base64,") == len(facts["figures"]) == 2
    assert "\\begin{tabular}" in page and 'name="viewport"' in page and "@media print" in page
    for slug in facts["figures"]:
        assert (tmp_path / "report" / f"{slug}.png").read_bytes().startswith(b"\x89PNG")
        assert (tmp_path / "report" / f"{slug}.pdf").read_bytes().startswith(b"%PDF")


def test_the_same_command_writes_the_same_report(tmp_path: Path) -> None:
    file = write(tmp_path / "a.npz", *predictions(0))
    for name in ("first", "second"):
        report(file, tmp_path / name)
    names = sorted(path.name for path in (tmp_path / "first").iterdir())
    for name in names:
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes(), name
    assert len(names) == 6 and PNG_DPI >= 150


def test_temperature_is_fitted_on_images_that_are_not_scored(tmp_path: Path) -> None:
    logits, labels = predictions(0, factor=3, samples=8000)
    facts = report(write(tmp_path / "a.npz", logits, labels), "--calibration-split", "0.5", tmp_path / "report")
    found = facts["runs"][0]["post_hoc"]
    assert (found["fitted_on"], found["scored_on"]) == (4000, 4000)
    temperature = float(found["methods"]["temperature"]["fitted"].removeprefix("T = "))
    assert temperature == pytest.approx(3, rel=0.05)
    assert found["methods"]["temperature"]["ece"] < 4 < 10 < found["methods"]["none"]["ece"]
    assert report(tmp_path / "a.npz", "--calibration-split", "0", tmp_path / "r2")["runs"][0]["post_hoc"] is None


def test_fitting_on_another_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    test = write(tmp_path / "test.npz", *predictions(0, 3))
    other = write(tmp_path / "validation.npz", *predictions(1, 3))
    found = report(test, "--calibration-split", other, "--posthoc", "temperature", tmp_path / "r")["runs"][0][
        "post_hoc"
    ]
    assert (found["fitted_on"], found["scored_on"], list(found["methods"])) == (400, 400, ["none", "temperature"])
    logits, labels = predictions(1, 3)
    logits[7] = predictions(0, 3)[0][9]
    write(other, logits, labels)
    assert "1 of its 400 predictions are in the test set too" in refused(capsys, test, "--calibration-split", other)


def test_two_files_are_compared_pairwise(tmp_path: Path) -> None:
    sure, fair = (write(tmp_path / name / "p.npz", *predictions(0, f, 1500)) for name, f in (("sure", 3), ("fair", 1)))
    facts = report(sure, fair, tmp_path / "report")
    (change,) = facts["differences"]
    assert (change["from"], change["to"]) == ("sure/p.npz", "fair/p.npz")
    first, second = (run["scores"] for run in facts["runs"])
    for name, score in change["scores"].items():
        assert score["difference"] == pytest.approx(second[name]["value"] - first[name]["value"], abs=1e-9)
        assert score["low"] <= score["high"]
    assert change["scores"]["ece"]["high"] < 0
    assert change["scores"]["error"] == {"difference": 0, "low": 0, "high": 0}  # paired: the predictions are alike
    page = (tmp_path / "report" / "index.html").read_text()
    assert "Each run minus sure/p.npz" in page and "which may be chance" not in page


def test_default_folder_is_beside_what_was_given(tmp_path: Path) -> None:
    files = [write(tmp_path / name / "p.npz", *predictions(0)) for name in "ab"]
    assert main([str(files[0]), *QUICK]) == 0 and (tmp_path / "a" / "report" / "report.json").exists()
    assert main([*map(str, files), *QUICK]) == 0 and (tmp_path / "report" / "report.json").exists()


def test_report_of_a_trained_run(run: Path, tmp_path: Path) -> None:
    with np.load(run / "predictions.npz") as saved:
        other = write(tmp_path / "other.npz", saved["logits"][:, ::-1], saved["labels"])
    facts = report(run, other, "--ood", write_foreign(tmp_path), tmp_path / "report")
    one = facts["runs"][0]
    assert (one["step"], one["weights"], one["note"], one["num_classes"]) == (16, "ema", "", 10)
    assert set(facts["figures"]) == {
        "reliability-1", "winning-score-1", "margins-1", "wrong-pseudo-labels-1", "reliability-2", "winning-score-2",
        "training", "pseudo-labels", "disagreement-1-2",
    }  # fmt: skip
    assert set(one["ood"]) == {"foreign", "Gaussian noise"}
    page = (tmp_path / "report" / "index.html").read_text()
    assert "the APM, the average pseudo-margin" in page and page.count("data:image/png") == 9


def write_foreign(folder: Path) -> Path:
    return write(folder / "foreign.npz", np.random.default_rng(0).normal(size=(50, 10)), np.zeros(50, dtype=int))


def test_images_of_another_folder_are_told_apart_or_not(run: Path, data: Path, tmp_path: Path) -> None:
    same = tmp_path / "same"
    shutil.copytree(data / "digits", same)
    found = report(run, "--ood", same, "--images", "0", tmp_path / "report")["runs"][0]["ood"]["same"]
    assert found["num_images"] == 500  # and these are the test images themselves
    assert all(found[score]["auroc"] == pytest.approx(50) for score in ("max-softmax", "entropy", "energy"))


def read(ranks: Any, run: Path, weights: str | None, step: int | None) -> tuple[np.ndarray, int | None]:
    (subject,) = read_subjects([run], Source(None, weights, step, False), ranks)
    return subject.logits, subject.step


def test_weights_and_steps_of_checkpoints(run: Path) -> None:
    saved, newest = alone(read, run, None, None), alone(read, run, "ema", None)
    np.testing.assert_allclose(newest[0], saved[0], rtol=0, atol=1e-5)  # the network gives predictions.npz again
    assert saved[1] == newest[1] == 16
    raw, older = alone(read, run, "raw", None), alone(read, run, None, 8)
    assert (raw[1], older[1]) == (16, 8)
    assert np.abs(raw[0] - saved[0]).max() > 1e-3 and np.abs(older[0] - saved[0]).max() > 1e-3


def restored(ranks: Any, run: Path) -> Restored:
    return restore(run, None, "ema", None, ranks)


def test_rows_of_the_saved_tables_are_found(run: Path) -> None:
    """The visits in the checkpoint are those of the stream, image by image: so are the margins beside them."""
    of = alone(restored, run)
    settings = config.load(run / "config.yaml")
    dataset = open_dataset(settings)
    shards = VirtualShards.of(dataset.num_train, settings.batch.labelled, settings.unlabelled_batch)
    drawn = build_order(settings, dataset, shards, of.ranks).draw(0, 16).unlabelled
    visits = saved_tensor(of.checkpoint, "mixing_sharded.visits")
    assert visits is not None and saved_tensor(of.checkpoint, "no.such") is None
    rows = shards.row_of(np.arange(dataset.num_train), 0, 1)
    np.testing.assert_array_equal(visits.numpy()[rows], np.bincount(drawn.ravel(), minlength=dataset.num_train))


def test_run_whose_data_are_gone_has_a_report_without_images(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(run, moved)
    text = (moved / "config.yaml").read_text()
    (moved / "config.yaml").write_text(re.sub("^data: .*$", "data: /gone", text, flags=re.MULTILINE))
    facts = report(moved, tmp_path / "report")
    assert facts["figures"] == ["reliability", "winning-score", "training", "pseudo-labels"]
    assert "no such data set" in capsys.readouterr().out
    for asked in (("--data", "/gone"), ("--weights", "raw"), ("--ood", "cifar10")):
        assert "/gone/digits/manifest.json: no such data set" in refused(capsys, moved, *asked)


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """The one line on stderr of a command that must exit with 2."""
    capsys.readouterr()
    assert main([*map(str, arguments), *QUICK]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1 and captured.err.startswith("evaluate.py: ")
    return captured.err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"logits": np.where(np.arange(1600).reshape(400, 4) == 9, np.nan, 1)},
            "1 samples are NaN or Inf, the first in row 2",
        ),
        ({"logits": np.full((400, 4), np.inf)}, "400 samples are NaN or Inf"),
        ({"labels": np.full(400, 4)}, r"label 4 in row 0 is outside [0, 4)"),
        ({"labels": np.full(400, -1)}, "label -1 in row 0"),
        ({"labels": np.full(400, 2)}, "all 400 labels are class 2: give the whole test set"),
        ({"logits": np.ones((400, 1)), "labels": np.zeros(400, int)}, "logits of one class only"),
        ({"logits": np.ones((0, 4)), "labels": np.zeros(0, int)}, "hold no prediction"),
        ({"labels": np.zeros(3, int)}, "logits must be [N, C] and labels [N]"),
    ],
)
def test_wrong_predictions_are_refused(
    change: dict[str, np.ndarray], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    logits, labels = predictions(0)
    file = write(tmp_path / "a.npz", change.get("logits", logits), change.get("labels", labels))
    error = refused(capsys, file)
    assert str(file) in error and message in error
    assert not (tmp_path / "report").exists()


def test_unreadable_files_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    empty = tmp_path / "empty.npz"
    empty.write_bytes(b"")
    assert f"{empty} is not a readable .npz file" in refused(capsys, empty)
    np.savez(tmp_path / "half.npz", logits=np.zeros((2, 2)))
    assert "must hold `logits` and `labels`" in refused(capsys, tmp_path / "half.npz")
    assert "no such run folder" in refused(capsys, tmp_path / "nowhere")


def test_labels_of_another_data_set_are_refused(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, other = (write(tmp_path / name / "p.npz", *predictions(seed)) for seed, name in enumerate("ab"))
    assert "its test labels are not those of" in refused(capsys, first, other)
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    with np.load(run / "predictions.npz") as saved:
        write(copy / "predictions.npz", saved["logits"], np.roll(saved["labels"], 1))
    assert "its labels are not those of" in refused(capsys, copy)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--checkpoint", "5"), "--checkpoint 5: "),
        (("--ood", "nowhere"), "--ood nowhere: no such data folder"),
        (("--ood", "digits"), "--ood digits: is the run's own data set"),
        (("--calibration-split", "1"), "--calibration-split 1: give a share"),
        (("--calibration-split", "most"), "--calibration-split most: give a share"),
        (("--draws", "0"), "must be at least 1"),
    ],
)
def test_wrong_options_are_refused(
    arguments: tuple[str, ...], message: str, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert main([str(run), *arguments]) == 2
    assert message in capsys.readouterr().err


def test_damaged_checkpoint_is_named(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    for shard in (copy / "checkpoints" / "step-00000016").glob("*.distcp"):
        shard.write_bytes(shard.read_bytes()[:2000])
    assert "step-00000016: cannot be loaded" in refused(capsys, copy, "--weights", "raw")
