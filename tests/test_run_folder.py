"""The run folder: who owns it, what is cut, what is refused."""

import json
import socket
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

from pipeline import config
from pipeline.run_folder import RunFolder, write_atomically


def folder(tmp_path: Path, *sets: str) -> RunFolder:
    return RunFolder(config.load(None, ["dataset=digits", f"out={tmp_path / 'run'}", *sets]))


def test_nothing_exists_before_it_is_opened(tmp_path: Path) -> None:
    folder(tmp_path).check()
    assert not (tmp_path / "run").exists()


def test_other_options_are_refused_but_not_cadence(tmp_path: Path) -> None:
    folder(tmp_path).open({})
    folder(tmp_path, "threads=3", "log_every=9").check()
    with pytest.raises(ValueError, match=r"seed: 0 there, 4 now; batch.labelled: 64 there, 32 now"):
        folder(tmp_path, "seed=4", "batch.labelled=32").check()


def owner(tmp_path: Path, host: str, pid: int, age: float = 0) -> None:
    (tmp_path / "run").mkdir(exist_ok=True)
    (tmp_path / "run/lock.json").write_text(json.dumps({"host": host, "pid": pid, "time": time.time() - age}))


def test_a_live_run_is_not_entered(tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "60"]) as other:
        owner(tmp_path, socket.gethostname(), other.pid)
        with pytest.raises(ValueError, match=rf"process {other.pid}"):
            folder(tmp_path).check()
        other.kill()
    folder(tmp_path).check()  # a dead lock is taken over


def test_a_lock_of_another_host_counts_while_it_beats(tmp_path: Path) -> None:
    owner(tmp_path, "elsewhere", 1)
    with pytest.raises(ValueError, match="on elsewhere"):
        folder(tmp_path).check()
    owner(tmp_path, "elsewhere", 1, age=1000)
    folder(tmp_path).check()


def test_cut_drops_later_and_broken_lines(tmp_path: Path) -> None:
    run = folder(tmp_path)
    run.open({})
    for step in (10, 20, 30):
        run.append({"step": step})
    with run.metrics.open("a") as file:
        file.write('{"step": 4')  # killed while writing
    run.cut(20)
    assert [json.loads(line)["step"] for line in run.metrics.read_text().splitlines()] == [10, 20]


def test_finish_writes_the_result_last(tmp_path: Path) -> None:
    run = folder(tmp_path)
    run.open({"git": "x"})
    assert not run.is_finished
    run.finish(np.zeros((2, 3), np.float32), np.array([0, 1]), {"step": 5})
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
