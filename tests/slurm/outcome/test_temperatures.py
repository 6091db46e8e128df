"""Numbers after temperature scaling: of the weights that a table shows, from validation images alone, and kept."""

import json
from pathlib import Path

import numpy as np
import pytest

from pipeline.calibration.scores import metrics, softmax
from slurm import collect
from slurm.grids import grid
from slurm.grids.grid import Cell
from slurm.outcome.temperatures import NAMES, scaled
from tests.support.grids import finish, write_grid


def drawn(seed: int, samples: int) -> tuple[np.ndarray, np.ndarray]:
    """Logits of 5 classes, three times what would be calibrated, and labels."""
    generator = np.random.default_rng(seed)
    logits = 2 * generator.standard_normal((samples, 5))
    cumulative = softmax(logits).cumsum(axis=1)
    return 3 * logits, np.minimum((cumulative < generator.random((samples, 1))).sum(axis=1), 4)


@pytest.fixture
def cell(tmp_path: Path) -> Cell:
    """A finished run of 7,200 s that selected weights by 4,000 validation images."""
    found = grid.load(write_grid(tmp_path, tmp_path, seeds=1, validation=4000)).cells[0]
    finish(found, 20.0, 5.0)
    (logits, labels), (held, held_labels) = drawn(0, 6000), drawn(1, 4000)
    parts = {"selected_logits": logits, "labels": labels, "validation_labels": held_labels}
    parts |= {"selected_validation_logits": held, "logits": logits + 1e3 * np.eye(5)[0], "validation_logits": held * 0}
    np.savez(found.folder / "predictions.npz", **parts)
    result = {"error": 99.0, "ece": 99.0, "step": 3, "seconds": 7200.0, "selected": {"step": 2, "error": 1, "ece": 2}}
    (found.folder / "metrics.jsonl").write_text("")
    (found.folder / "result.json").write_text(json.dumps(result))
    return found


def test_both_temperatures_are_found_and_applied_to_the_selected_weights(cell: Cell) -> None:
    found = scaled(cell, json.loads((cell.folder / "result.json").read_text()))
    assert tuple(found) == NAMES
    assert found["temperature_nll"] == pytest.approx(3, rel=0.1) and found["temperature"] == pytest.approx(3, rel=0.2)
    logits, labels = drawn(0, 6000)
    for end in ("", "_nll"):
        expected = metrics(logits / found[f"temperature{end}"], labels)
        assert found[f"ece15_scaled{end}"] == expected["ece15"] and found[f"ace_scaled{end}"] == expected["ace"]
        assert expected["ece15"] < 0.25 * metrics(logits, labels)["ece15"]


def test_a_table_has_them_with_the_hours_and_so_has_that_of_kept_runs(
    cell: Cell, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, kept = tmp_path / "digits_grid.yaml", tmp_path / "kept"
    shown = "metrics: [hours, ece15_scaled, ace_scaled_nll, temperature]\n"
    path.write_text(path.read_text() + shown)
    found = scaled(cell, json.loads((cell.folder / "result.json").read_text()))
    numbers = [2.0, found["ece15_scaled"], found["ace_scaled_nll"], found["temperature"]]
    assert collect.main(["--grid", str(path), "--keep", str(kept)]) == 0
    assert f"| FixMatch | {' | '.join(f'{number:.2f} ± 0.00' for number in numbers)} |" in capsys.readouterr().out
    assert collect.main(["--grid", str(path), "--root", str(kept)]) == 0
    assert f"| FixMatch | {' | '.join(f'{number:.2f} ± 0.00' for number in numbers)} |" in capsys.readouterr().out


def test_a_run_without_validation_images_has_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_grid(tmp_path, tmp_path, seeds=1)
    path.write_text(path.read_text() + "metrics: [error, ece15_scaled]\n")
    finish(grid.load(path).cells[0], 20.0, 5.0)
    assert collect.main(["--grid", str(path)]) == 2
    assert "it held out no validation images, so there is no ece15_scaled" in capsys.readouterr().err
