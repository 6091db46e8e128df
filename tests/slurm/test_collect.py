"""The table of a grid: means over what is there, beside the paper's, each number traceable."""

import csv
import json
import math
from pathlib import Path

import pytest

from slurm import collect
from slurm.grids import grid
from slurm.outcome import tables
from slurm.outcome.entries import best_entries, entries
from tests.support.grids import finish, write_grid

ERRORS = {("FixMatch", 0): 10.0, ("FixMatch", 1): 12.0, ("FixMatch", 2): 14.0, ("FixMatch + CalibrateMix", 0): 11.0}


@pytest.fixture
def half(tmp_path: Path) -> Path:
    """A grid file of which one method is finished and the other at its first seed."""
    path = write_grid(tmp_path, tmp_path)
    for cell in grid.load(path).cells:
        if (cell.method, cell.seed) in ERRORS:
            error = ERRORS[cell.method, cell.seed]
            finish(cell, error, error / 2)
    return path


def test_a_half_finished_grid(half: Path) -> None:
    ece, mixed_ece, error, mixed_error = entries(grid.load(half))
    assert (error.mean, error.std, len(error.values)) == (12, pytest.approx(math.sqrt(8 / 3)), 3)  # ddof 0
    assert (ece.mean, ece.std) == (6, pytest.approx(math.sqrt(2 / 3)))
    assert (mixed_error.values, mixed_error.wanted, mixed_ece.std) == ((11,), 3, 0)
    assert best_entries([ece, mixed_ece, error, mixed_error]) == {
        ("ece", "FixMatch + CalibrateMix", "digits", "4"),
        ("error", "FixMatch + CalibrateMix", "digits", "4"),
    }


def test_files(half: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert collect.main(["--grid", str(half)]) == 0
    printed = capsys.readouterr().out
    assert "4 of 6 cells are finished." in printed
    assert "| FixMatch | 6.00 ± 0.82 | 12.00 ± 1.63 |" in printed  # one data set: metrics side by side
    assert "| FixMatch + CalibrateMix | **5.50 ± 0.00** (1/3) | **11.00 ± 0.00** (1/3) |" in printed
    folder = tmp_path / "runs/tables"
    assert r"FixMatch + CalibrateMix & \textbf{11.00 $\pm$ 0.00} (1/3) \\" in (folder / "digits_grid.tex").read_text()
    assert (folder / "digits_grid.png").read_bytes().startswith(b"\x89PNG")
    rows = list(csv.DictReader((folder / "digits_grid.csv").open()))
    assert [(r["metric"], r["mean"], r["seeds"], r["paper_mean"]) for r in rows[2:]] == [
        ("error", "12.0", "3", ""),
        ("error", "11.0", "1", ""),
    ]


def test_every_number_names_its_run_its_commit_and_its_split(half: Path, tmp_path: Path) -> None:
    found = grid.load(half)
    (found.cells[0].folder / "job.json").write_text(json.dumps({"split_sha256": "5eed", "job": "7_0", "commit": "old"}))
    collect.collect(found, tmp_path / "out")
    rows = list(csv.DictReader((tmp_path / "out/digits_grid-runs.csv").open()))
    first, last = rows[0], rows[-1]
    assert (first["run"], first["commit"], first["split_sha256"]) == (str(found.cells[0].folder), "c0ffee", "5eed")
    assert (first["error"], last["error"], last["run"]) == ("10.0", "", str(found.cells[-1].folder))


def test_nothing_finished(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert collect.main(["--grid", str(write_grid(tmp_path, tmp_path))]) == 0
    printed = capsys.readouterr().out
    assert "0 of 6 cells are finished." in printed
    assert printed.count("missing") == 4


def test_the_papers_table_with_nothing_of_ours(tmp_path: Path) -> None:
    found = grid.load(grid.PROJECT / "configs/table4.yaml", root=tmp_path)
    text = tables.markdown(entries(found), "x")
    assert "| SoftMatch | missing | missing |" in text
    assert "| &nbsp;&nbsp;paper | 37.10 ± 1.03 | 20.90 ± 2.47 |" in text


def test_a_run_with_other_options_is_not_collected(half: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = grid.load(half).cells[0].folder
    text = (folder / "config.yaml").read_text()
    (folder / "config.yaml").write_text(text.replace("lr: 0.03", "lr: 0.3"))
    assert collect.main(["--grid", str(half)]) == 2
    assert f"{folder}: was run with optimizer.lr=0.3, the grid wants 0.03" in capsys.readouterr().err
    (folder / "config.yaml").write_text(text.replace("threads: 0", "threads: 4"))
    assert collect.main(["--grid", str(half)]) == 0
    (folder / "predictions.npz").unlink()
    assert collect.main(["--grid", str(half)]) == 2
    assert "predictions.npz is missing; delete result.json and submit the grid again" in capsys.readouterr().err


def test_kept_runs_make_the_same_table_without_weights_or_folders_of_the_machine(
    half: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for cell in grid.load(half).cells:
        if cell.folder.exists():
            (cell.folder / "metrics.jsonl").write_text('{"step": 1}\n')
    kept = tmp_path / "kept"
    assert collect.main(["--grid", str(half), "--keep", str(kept)]) == 0
    first, *table = capsys.readouterr().out.splitlines()
    assert first == f"kept: 4 finished runs in {kept}"
    assert collect.main(["--grid", str(half), "--root", str(kept)]) == 0
    assert capsys.readouterr().out.splitlines()[:-1] == table[:-1]  # the last names the folder
    files = [path for path in kept.rglob("*.*") if path.parent.name != "tables" and path.is_file()]
    assert {path.name for path in files} == {"config.yaml", "environment.json", "metrics.jsonl", "result.json"}
    assert len(files) == 16 and str(tmp_path) not in "".join(path.read_text() for path in files)
    assert collect.main(["--grid", str(half), "--keep", str(tmp_path / "runs")]) == 2
    assert "is the run itself" in capsys.readouterr().err
