"""A grid without SLURM: several cells at a time on this machine, stopped and continued."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.runs.host_tuning import cores
from pipeline.runs.lock import live_owner
from pipeline.runs.read import is_finished, last_training_line
from slurm import submit
from slurm.grids import grid
from slurm.grids.grid import PROJECT
from slurm.jobs import history, local
from slurm.jobs.resources import Resources
from slurm.outcome.status import run_status
from tests.support.grids import write_grid
from tests.support.minislurm import wait_for

PATIENCE = 600  # seconds, on cores that others use too
SIZE = {"steps": 16, "eval_every": 16, "checkpoint_every": 16, "log_every": 2, "batch": {"labelled": 8}}


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.xdist_group("cluster")
def test_local_and_debug(data: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = write_grid(tmp_path, data, seeds=1, warmup_steps=4, **SIZE)
    command = ["--grid", str(path), "--cpus-per-task=1"]
    plain, mixed = grid.load(path).cells

    def training() -> list[bool]:
        return [bool(last_training_line(cell.folder)) for cell in (plain, mixed)]

    script = PROJECT / "slurm/submit.py"
    going = subprocess.Popen([sys.executable, script, *command, "--cluster=local"], stdout=subprocess.PIPE, text=True)
    wait_for(lambda: any(training()), PATIENCE)
    together = min(2, cores())
    wait_for(lambda: sum(live_owner(cell.folder) is not None for cell in (plain, mixed)) == together, PATIENCE)
    going.send_signal(signal.SIGINT)
    out, _ = going.communicate(timeout=PATIENCE)
    assert "stopping: each run saves its state; the same command resumes them" in out
    assert going.returncode == 130
    assert run_status(plain, {}).state in {"preempted", "done"}

    assert submit.main([*command, "--cluster=local", "--only", "method=FixMatch"]) == 0
    assert is_finished(plain.folder) and not is_finished(mixed.folder)
    assert submit.main([*command, "--cluster=debug"]) == 0
    assert is_finished(mixed.folder)
    assert "step 16/16  error" in capfd.readouterr().out  # the trainer's own words, of the debugged one alone
    assert submit.main([*command, "--cluster=local"]) == 0
    assert "nothing to start" in capfd.readouterr().out


@pytest.mark.slow
def test_a_cell_that_fails_does_not_stop_the_others(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_grid(tmp_path, data, seeds=1, **SIZE)
    folder = grid.load(path).cells[0].folder
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text("steps: 99\n")  # the trainer refuses to write over another run
    command = ["--grid", str(path), "--cpus-per-task=1", "--only", "method=FixMatch"]
    assert submit.main([*command, "--cluster=local"]) == 1
    said = capsys.readouterr().out
    assert f"failed    {folder}: error: {folder}: holds a run with other options" in said
    assert submit.main([*command, "--status"]) == 0
    assert "1 runs: 1 failed" in capsys.readouterr().out
    assert [event.event for event in history.events(folder)] == ["start", "failed"]
    assert json.loads((folder / "job.json").read_text())["cluster"] == "local"


def test_slots(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "visible_gpus", lambda: [0, 1, 2, 5, 7])
    monkeypatch.setattr(local, "cores", lambda: 16)
    assert local.find_slots(Resources(gpus=2), 9) == [(0, 1), (2, 5)]  # no half slots
    assert local.find_slots(Resources(gpus=1), 3) == [(0,), (1,), (2,)]
    assert local.find_slots(Resources(gpus=0, tasks=2, cpus=3), 9) == [(), ()]
    assert local.find_slots(Resources(gpus=0, tasks=2, cpus=30), 9) == [()]
    assert local.find_slots(Resources(gpus=6), 9) == []


def test_more_gpus_than_here_and_more_nodes_than_one(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_grid(tmp_path, data)
    assert submit.main(["--grid", str(path), "--cluster=local", "--gpus-per-node=64"]) == 2
    assert capsys.readouterr().err.startswith("error: --gpus-per-node 64: this machine has ")
    assert submit.main(["--grid", str(path), "--cluster=local", "--nodes=2"]) == 2
    assert capsys.readouterr().err == "error: --nodes 2: --cluster local is this machine alone\n"
    assert list(tmp_path.iterdir()) == [path]
