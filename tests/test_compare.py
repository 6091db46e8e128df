"""The comparison of run folders, end to end on real small classifiers, and the reliability figure."""

import json
import os
import subprocess
import sys
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import yaml
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from pipeline.calibration.scores import metrics
from pipeline.compare import main
from pipeline.report.plots import reliability_figure
from pipeline.report.resampling import PreparedPredictions
from pipeline.report.simulated_floor import simulated_floor

ROOT = Path(__file__).resolve().parents[1]
Predictions = tuple[np.ndarray, np.ndarray]


@pytest.fixture(scope="module")
def predictions() -> list[Predictions]:
    """Test logits of two linear classifiers of handwritten digits: few labels, and more labels and regularised."""
    images, labels = load_digits(return_X_y=True)
    made = []
    for samples, strength in ((60, 10.0), (300, 0.001)):
        model = LogisticRegression(C=strength, max_iter=200).fit(images[:samples], labels[:samples])
        made.append((model.decision_function(images[600:]).astype(np.float32), labels[600:].astype(np.int64)))
    return made


def write_run(folder: Path, predictions: Predictions, **extra: float) -> Path:
    folder.mkdir(parents=True)
    logits, labels = predictions
    np.savez(folder / "predictions.npz", logits=logits, labels=labels)
    (folder / "result.json").write_text(json.dumps({"step": 2000, **metrics(logits, labels), **extra}))
    return folder


def configure(folder: Path, algorithm: str, mix: str) -> None:
    (folder / "config.yaml").write_text(yaml.safe_dump({"algorithm": algorithm, "mix": mix, "seed": 0}))


@pytest.fixture
def runs(tmp_path: Path, predictions: list[Predictions]) -> list[Path]:
    first = write_run(tmp_path / "digits" / "a" / "seed0", predictions[0], seconds=1234.5)
    second = write_run(tmp_path / "digits" / "b" / "seed0", predictions[1])
    configure(first, "fixmatch", "none")
    configure(second, "fixmatch", "calibratemix")
    return [first, second]


def command(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, ROOT / "pipeline" / "compare.py", *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "120"},
        capture_output=True,
        text=True,
        timeout=60,
    )


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def test_script_prints_markdown_and_writes_the_plot(
    runs: list[Path], predictions: list[Predictions], tmp_path: Path
) -> None:
    plot = tmp_path / "reliability.png"
    done = command(*runs, "--plot", plot, "--format", "markdown")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert cells(lines[0]) == ["run", "error %", "ECE %", "ECE-15 %", "floor %", "seconds", "steps"]
    assert set(lines[1]) == set("|:-") and lines[1].count("|") == lines[0].count("|")
    assert len({len(line) for line in lines[:4]}) == 1
    values, floor = metrics(*predictions[0]), simulated_floor(PreparedPredictions(*predictions[0]), 200)["ece"]
    scores = [f"{values[key]:.2f}" for key in ("error", "ece", "ece15")]
    both = f"{floor.mean:.2f} / {floor.high:.2f}"
    assert cells(lines[2]) == ["fixmatch", *scores, both, "1,234", "2,000"]
    assert cells(lines[3])[0] == "fixmatch + calibratemix" and cells(lines[3])[5] == "-"
    assert lines[-1] == f"reliability diagrams: {plot}"
    assert plot.read_bytes().startswith(b"\x89PNG")


def test_rich_table_holds_the_same_rows(runs: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    (runs[0] / "config.yaml").write_text("algorithm: '[bold]own'\n")
    assert main([*map(str, runs), "--format", "rich"]) == 0
    printed = capsys.readouterr().out
    assert "[bold]own" in printed and "2,000" in printed and "┃" in printed


def test_markdown_is_the_default_in_a_pipe(runs: list[Path]) -> None:
    assert command(runs[0]).stdout.startswith("| run")


def test_runs_of_one_method_are_told_apart_by_folder(runs: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    configure(runs[1], "fixmatch", "none")
    assert main([*map(str, runs), "--format", "markdown"]) == 0
    named = [cells(line)[0] for line in capsys.readouterr().out.splitlines()[2:4]]
    assert named == ["fixmatch, a/seed0", "fixmatch, b/seed0"]


def test_runs_without_a_configuration_are_named_by_folder(runs: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    for run in runs:
        (run / "config.yaml").unlink()
    assert main([*map(str, runs), "--format", "markdown"]) == 0
    assert [cells(line)[0] for line in capsys.readouterr().out.splitlines()[2:4]] == ["a/seed0", "b/seed0"]


def refused(arguments: list[object], capsys: pytest.CaptureFixture[str]) -> str:
    """The one line on stderr of a command that must exit with 2 and print nothing else."""
    assert main(list(map(str, arguments))) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1
    return captured.err


def test_scores_of_curves_need_an_option_to_be_against(runs: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert "--scores goes with --against OPTION" in refused([runs[0], "--scores", "ue_plain"], capsys)
    asked = ["--against", "label_smoothing", "--scores", "ue_plain", "--format", "markdown"]
    assert main([*map(str, runs), *asked]) == 0
    header = cells(capsys.readouterr().out.splitlines()[0])
    assert header == ["runs", "label_smoothing", "seeds", "UE plain %", "floor %"]


def test_missing_folder_through_the_shell(runs: list[Path], tmp_path: Path) -> None:
    done = command(runs[0], tmp_path / "nowhere")
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.count("\n") == 1 and f"{tmp_path / 'nowhere'}: no such run folder" in done.stderr


def test_unfinished_run_is_refused(runs: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    (runs[1] / "result.json").unlink()
    message = refused([*runs], capsys)
    assert f"{runs[1] / 'result.json'} is missing: the run has not finished" in message


@pytest.mark.parametrize("name", ["result.json", "config.yaml"])
def test_broken_text_file_is_refused(name: str, runs: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    (runs[0] / name).write_text('{"step": [1,')
    assert f"{runs[0] / name} is not valid" in refused([runs[0]], capsys)


def test_other_numbers_than_the_predictions_give_are_refused(
    runs: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    path = runs[0] / "result.json"
    result = json.loads(path.read_text())
    path.write_text(json.dumps({**result, "ece": result["ece"] + 5e-7}))
    assert main([str(runs[0])]) == 0
    capsys.readouterr()
    path.write_text(json.dumps({**result, "ece": result["ece"] + 2e-6}))
    assert f"{path} says ece" in refused([runs[0]], capsys)
    del result["confidence"]  # younger than some runs
    path.write_text(json.dumps(result))
    assert main([str(runs[0])]) == 0
    capsys.readouterr()
    del result["nll"]
    path.write_text(json.dumps(result))
    assert f"{path} has no number `nll`" in refused([runs[0]], capsys)


@pytest.mark.parametrize("damage", ["missing", "empty", "text", "cut", "flipped", "npy", "key", "nan", "label"])
def test_broken_predictions_are_refused(
    damage: str, runs: list[Path], predictions: list[Predictions], capsys: pytest.CaptureFixture[str]
) -> None:
    path = runs[0] / "predictions.npz"
    logits, labels = predictions[0]
    whole = path.read_bytes()
    if damage == "missing":
        path.unlink()
    elif damage == "npy":
        with path.open("wb") as file:
            np.save(file, logits)
    elif damage in ("key", "nan", "label"):
        arrays = {
            "key": {"logits": logits},
            "nan": {"logits": np.where(np.arange(10) == 3, np.nan, logits), "labels": labels},
            "label": {"logits": logits, "labels": labels + 1},
        }
        np.savez(path, **arrays[damage])
    else:
        flipped = whole[:5000] + bytes([whole[5000] ^ 1]) + whole[5001:]
        path.write_bytes({"empty": b"", "text": b"hello", "cut": whole[:-400], "flipped": flipped}[damage])
    assert str(path) in refused([runs[0]], capsys)


@pytest.mark.parametrize(("name", "message"), [("plot.xyz", "unknown file type"), ("no/plot.png", "No such file")])
def test_plot_that_cannot_be_written_is_refused(
    name: str, message: str, runs: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    error = refused([runs[0], "--plot", tmp_path / name], capsys)
    assert f"--plot {tmp_path / name}" in error and message in error


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
def test_figure_text_neither_overlaps_nor_leaves_the_page(count: int, predictions: list[Predictions]) -> None:
    names = ["fixmatch", "not $\\frac$ mathematics, " + "very/long/folders/" * 5 + "seed0", "c", "d" * 200, ""]
    figure = reliability_figure([(name, *predictions[0]) for name in names[:count]])
    figure.canvas.draw()
    texts = [text for axes in figure.axes for text in (axes.title, axes.xaxis.label, axes.yaxis.label)]
    texts += [label for axes in figure.axes[1::2] for label in axes.get_xticklabels()]
    texts += [label for axes in figure.axes for label in axes.get_yticklabels()]
    boxes = [text.get_window_extent() for text in texts if text.get_text()]
    boxes.append(figure.legends[0].get_window_extent())
    assert not [pair for pair in combinations(boxes, 2) if pair[0].overlaps(pair[1])]
    page = figure.bbox
    assert all(box.x0 >= 0 and box.y0 >= 0 and box.x1 <= page.x1 and box.y1 <= page.y1 for box in boxes)


def test_figure_shows_a_panel_and_a_histogram_for_each_run(predictions: list[Predictions]) -> None:
    figure = reliability_figure([("fixmatch", *predictions[0]), ("calibratemix", *predictions[1])])
    assert len(figure.axes) == 4
    values = metrics(*predictions[1])
    expected = f"calibratemix\nECE {values['ece']:.2f}%   error {values['error']:.2f}%"
    assert figure.axes[2].get_title() == expected
    shares = [bar.get_height() for bar in figure.axes[3].patches]
    assert len(shares) == 10 and sum(shares) == pytest.approx(1)
    with pytest.raises(ValueError, match="at least one run"):
        reliability_figure([])


def test_importing_the_plots_leaves_pyplot_alone() -> None:
    code = "import sys, pipeline.report.plots; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, timeout=60).returncode == 0
