"""The run folder: who owns it, what is cut, what is refused."""

import json
import resource
import signal
from pathlib import Path

import numpy as np
import pytest

from pipeline import config
from pipeline.runs.folder import RunFolder, write_atomically


def folder(tmp_path: Path, *sets: str) -> RunFolder:
    return RunFolder(config.load(None, ["dataset=digits", f"out={tmp_path / 'run'}", *sets]))


def test_a_check_leaves_nothing(tmp_path: Path) -> None:
    folder(tmp_path).check()
    assert not (tmp_path / "run").exists()


def test_other_options_are_refused_but_not_cadence(tmp_path: Path) -> None:
    folder(tmp_path).describe({})
    folder(tmp_path, "threads=3", "log_every=9").check()
    with pytest.raises(ValueError, match=r"seed: 0 there, 4 now; batch.labelled: 64 there, 32 now"):
        folder(tmp_path, "seed=4", "batch.labelled=32").check()


def test_an_option_younger_than_the_run_had_its_default(tmp_path: Path) -> None:
    folder(tmp_path).describe({})
    saved = tmp_path / "run/config.yaml"
    saved.write_text("".join(x for x in saved.read_text().splitlines(True) if "ece_bins" not in x and "seed" not in x))
    folder(tmp_path).check()
    with pytest.raises(ValueError, match=r"\(seed: 0 there, 1 now; evaluation.ece_bins: 10 there, 15 now\)"):
        folder(tmp_path, "seed=1", "evaluation.ece_bins=15").check()


def test_cut_drops_later_and_broken_lines(tmp_path: Path) -> None:
    run = folder(tmp_path)
    run.describe({})
    for step in (10, 20, 30):
        run.append({"step": step})
    with run.metrics.open("a") as file:
        file.write('{"step": 4')  # killed while writing
    run.cut(20)
    assert [json.loads(line)["step"] for line in run.metrics.read_text().splitlines()] == [10, 20]


def test_finish_writes_the_result_last(tmp_path: Path) -> None:
    run = folder(tmp_path)
    run.describe({"git": "x"})
    assert not run.is_finished
    run.finish({"logits": np.zeros((2, 3), np.float32), "labels": np.array([0, 1])}, {"step": 5})
    assert run.is_finished
    with np.load(run.path / "predictions.npz") as saved:
        assert (saved["logits"].shape, saved["labels"].tolist()) == ((2, 3), [0, 1])
    times = [(run.path / name).stat().st_mtime_ns for name in ("predictions.npz", "status.json", "result.json")]
    assert times == sorted(times)
    assert not list(run.path.glob("*.partial")) + list(run.path.glob(".*.partial"))


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "x"
    write_atomically(path, "old")
    with pytest.raises(TypeError):
        write_atomically(path, 3)  # type: ignore[arg-type]
    assert path.read_text() == "old"


def test_a_failed_run_says_why_at_its_last_step(tmp_path: Path) -> None:
    run = folder(tmp_path)
    run.describe({})
    run.fail("Boom: before the first line")
    assert status(run) == {"state": "failed", "step": 0, "error": "Boom: before the first line"}
    run.status("running", 7)
    assert status(run) == {"state": "running", "step": 7}
    folder(tmp_path).fail("Boom: 3", terms=[1])  # any rank may say it
    assert status(run) == {"state": "failed", "step": 7, "error": "Boom: 3", "terms": [1]}


def status(run: RunFolder) -> dict[str, object]:
    content = json.loads((run.path / "status.json").read_text())
    assert content.pop("time") > 0 and content.pop("steps") == run.config.steps
    return content


def test_lines_that_find_no_room_wait(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The kernel refuses to let a file grow, as on a full disk; part of a line is never left behind."""
    run = folder(tmp_path)
    run.describe({})
    run.append({"step": 1})
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20, limits[1]))
    try:
        run.append({"step": 2})
        run.append({"step": 3})
        run.status("running", 3)
        assert run.metrics.read_text() == '{"step": 1}\n'
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    run.append({"step": 4})
    assert [json.loads(line)["step"] for line in run.metrics.read_text().splitlines()] == [1, 2, 3, 4]
    said = capsys.readouterr().err
    assert said.count("metrics.jsonl: not written (") == 2 and "status.json: not written (" in said
