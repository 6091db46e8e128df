"""The calibration report of prediction files: what it says and shows, and mistakes in them."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline import compare
from pipeline.calibration.scores import metrics
from pipeline.evaluate import main
from pipeline.report.figures import PNG_DPI
from pipeline.report.glossary import SCORES
from tests.support.reports import QUICK, predictions, refused, report, write

ROOT = Path(__file__).resolve().parents[1]
NOT_NEGATIVE = "--images, --seed, --mc-dropout, --tta and --hull-walk must be at least 0"


def test_report_of_a_file_of_predictions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    logits, labels = predictions(0, factor=3)
    facts = report(write(tmp_path / "own <i>.npz", logits, labels), tmp_path / "report")
    (one,) = facts["runs"]
    expected = metrics(logits, labels)
    names = expected.keys() & SCORES.keys()
    assert {name: one["scores"][name]["value"] for name in names} == pytest.approx(
        {name: expected[name] for name in names}, abs=1e-9
    )
    assert list(one["scores"]) == list(SCORES) and one["num_samples"] == 400
    assert one["ece_by_bins"]["10"] == pytest.approx(expected["ece"])
    assert one["scores"]["ece"]["low"] > one["scores"]["ece"]["floor_high"]  # three times too sure
    assert facts["figures"] == ["reliability", "winning-score", "accuracy-coverage"]
    assert "note: own <i>.npz: no figures of images: a file of predictions has no network" in capsys.readouterr().out


def test_page_is_whole_and_files_are_there(tmp_path: Path) -> None:
    facts = report(write(tmp_path / "own <i>.npz", *predictions(0)), tmp_path / "report")
    page = (tmp_path / "report" / "index.html").read_text()
    assert "own &lt;i&gt;" in page and "<i>" not in page and "$\\" not in page
    assert not re.search(r"https?:|<script|<link|@import", page)  # nothing is fetched
    assert page.count("data:image/png;base64,") == len(facts["figures"]) == 3
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
    assert len(names) == 8 and PNG_DPI >= 150


def test_temperature_is_fitted_on_images_that_are_not_scored(tmp_path: Path) -> None:
    logits, labels = predictions(0, factor=3, samples=8000)
    facts = report(write(tmp_path / "a.npz", logits, labels), "--fit-on", "0.5", tmp_path / "report")
    found = facts["runs"][0]["post_hoc"]
    assert (found["fitted_on"], found["scored_on"]) == (4000, 4000)
    temperature = float(found["methods"]["temperature"]["fitted"].removeprefix("T = "))
    assert temperature == pytest.approx(3, rel=0.05)
    assert found["methods"]["temperature"]["ece"] < 4 < 10 < found["methods"]["none"]["ece"]
    assert report(tmp_path / "a.npz", "--fit-on", "0", tmp_path / "r2")["runs"][0]["post_hoc"] is None


def test_fitting_on_another_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    test = write(tmp_path / "test.npz", *predictions(0, 3))
    other = write(tmp_path / "validation.npz", *predictions(1, 3))
    found = report(test, "--fit-on", other, "--posthoc", "temperature", tmp_path / "r")["runs"][0]["post_hoc"]
    assert (found["fitted_on"], found["scored_on"], list(found["methods"])) == (400, 400, ["none", "temperature"])
    logits, labels = predictions(1, 3)
    logits[7] = predictions(0, 3)[0][9]
    write(other, logits, labels)
    assert "1 of its 400 predictions are also in the test set" in refused(capsys, test, "--fit-on", other)


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
    assert page.count("Bars: accuracy of the test images") == 1  # what both figures share is said once


def test_default_folder_is_beside_what_was_given(tmp_path: Path) -> None:
    files = [write(tmp_path / name / "p.npz", *predictions(0)) for name in "ab"]
    assert main([str(files[0]), *QUICK]) == 0 and (tmp_path / "a" / "report" / "report.json").exists()
    assert main([*map(str, files), *QUICK]) == 0 and (tmp_path / "report" / "report.json").exists()


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
        ({"logits": np.full((400, 4), 0.25)}, "these are probabilities, each row sums to 1"),
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
    empty, half = tmp_path / "empty.npz", tmp_path / "half.npz"
    empty.write_bytes(b"")
    assert f"{empty} is not a readable .npz file (no zip archive)" in refused(capsys, empty)
    np.savez(half, logits=np.zeros((2, 2)))
    assert f"{half} must hold `logits` and `labels`" in refused(capsys, half)
    assert f"{tmp_path / 'nowhere'}: no such run folder" in refused(capsys, tmp_path / "nowhere")
    neither = f"{tmp_path}: not a run folder: it holds neither config.yaml nor predictions.npz"
    assert neither in refused(capsys, tmp_path)


@pytest.mark.parametrize(
    ("logits", "message"),
    [
        (b"", "is not a readable .npz file (no zip archive); give --ood an .npz file with `logits`"),
        (np.full((3, 4), np.nan), "logits of 3 samples are NaN or Inf"),
        (np.ones((0, 4)), "hold no prediction"),
        (np.full((3, 4), "1"), "logits must be real"),
        (np.ones(4), "logits must be [N, C]"),
        (np.ones((3, 5)), "logits of 5 classes, the test set has 4"),
    ],
)
def test_wrong_logits_of_other_images_are_refused(
    logits: bytes | np.ndarray, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, ood = write(tmp_path / "a.npz", *predictions(0)), tmp_path / "ood.npz"
    if isinstance(logits, bytes):
        ood.write_bytes(logits)
    else:
        np.savez(ood, logits=logits)
    error = refused(capsys, file, "--ood", ood)
    assert str(ood) in error and message in error


def test_other_images_of_one_name_are_all_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write(tmp_path / "a.npz", *predictions(0))
    ood = [write(tmp_path / name / "svhn.npz", *predictions(number)) for number, name in enumerate("xy", 1)]
    assert list(report(file, "--ood", *ood, tmp_path / "r")["runs"][0]["ood"]) == ["x/svhn.npz", "y/svhn.npz"]
    assert "svhn.npz is given 2 times" in refused(capsys, file, "--ood", ood[0], ood[0])


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--draws", "0", "--draws and --floor-draws must be at least 1"),
        ("--floor-draws", "0", "--draws and --floor-draws must be at least 1"),
        ("--seed", "-1", NOT_NEGATIVE),
        ("--images", "-1", NOT_NEGATIVE),
        ("--fit-on", "1", "--fit-on 1: give a share"),
        ("--fit-on", "nan", "--fit-on nan: give a share"),
        ("--fit-on", "most", "--fit-on most: give a share"),
        ("--out", "a.npz", "a.npz: is a file, not a folder; choose another folder with --out"),
        ("--out", "a.npz/report", "a.npz/report: cannot be made (Not a directory); choose another folder with --out"),
        ("--weights", "raw", "--weights and --checkpoint need a run folder"),
        ("--ood", "photos", "--ood photos: a.npz has no network to run on images"),
        ("--mc-dropout", "10", "--mc-dropout: no dropout in a.npz; give a run trained with model.dropout=0.3"),
        ("--tta", "-1", NOT_NEGATIVE),
        ("--tta", "4", "--tta: a.npz has no network to run on images; give a run folder"),
        ("--hull-walk", "100", "--hull-walk: a.npz has no network to run on images; give a run folder"),
    ],
)
def test_wrong_options_are_refused(
    option: str, value: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    write(Path("a.npz"), *predictions(0))
    assert main(["a.npz", *QUICK, option, value]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_result_of_other_predictions_is_refused_as_compare_does(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = write(tmp_path / "run" / "predictions.npz", *predictions(0)).parent
    result = metrics(*predictions(0, factor=3))
    (run / "result.json").write_text(json.dumps(result))
    told = refused(capsys, run).removeprefix("evaluate.py: ")
    assert f"{run / 'result.json'} says ece {result['ece']}, but predictions.npz gives" in told
    assert compare.main([str(run)]) == 2
    assert capsys.readouterr().err == f"compare.py: {told}"


def test_nothing_is_imported_that_a_mistake_would_have_to_wait_for() -> None:
    """--help, and mistakes that need no network, answer without the heavy libraries; compare.py needs NumPy alone."""
    code = (
        "import sys, pipeline.evaluate as e, pipeline.compare\n"
        "assert e.main(['nowhere']) == 2\n"
        "heavy = {'torch', 'ffcv', 'numba', 'scipy', 'sklearn', 'matplotlib'}\n"
        "sys.exit('imported: ' + ' '.join(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stderr.startswith("evaluate.py: nowhere: no such run folder") and done.stderr.endswith("imported: \n")


def test_labels_of_another_test_set_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, other = (write(tmp_path / name / "p.npz", *predictions(seed)) for seed, name in enumerate("ab"))
    assert "its test labels differ from those of" in refused(capsys, first, other)
