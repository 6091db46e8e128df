"""Several runs side by side on a GPU: on this machine with pretended GPUs, and in a job of its own."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.runs.host_tuning import cores
from pipeline.runs.read import is_finished
from slurm import submit
from slurm.grids import grid
from slurm.grids.grid import PROJECT
from slurm.jobs import arguments, history, local, submission
from slurm.jobs.resources import Resources
from tests.slurm.jobs.test_job import TRAINER
from tests.support.grids import write_grid
from tests.support.minislurm import wait_for
from tests.support.stand_in import journal, stand_in_project


def test_slots_fill_the_gpus_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "visible_gpus", lambda: [0, 3])
    assert local.find_slots(Resources(gpus=1, per_gpu=2), 9) == [(0,), (3,), (0,), (3,)]
    assert local.find_slots(Resources(gpus=1, per_gpu=2), 3) == [(0,), (3,), (0,)]


@pytest.mark.slow
@pytest.mark.xdist_group("cluster")
def test_the_local_pool_runs_several_on_each_gpu(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two GPUs with two runs each: four at a time, and one that fails leaves the others alone."""
    mistake = {"fixmatch__4__1": "mistake"}
    monkeypatch.setattr(submission, "PROJECT", stand_in_project(tmp_path, together=4, **mistake))
    for module in (local, arguments):
        monkeypatch.setattr(module, "visible_gpus", lambda: [0, 1])
    path = write_grid(tmp_path, data)
    command = ["--grid", str(path), "--cluster=local", "--per-gpu=2"]
    assert submit.main(command) == 1
    said = capsys.readouterr().out
    assert said.count("finished  ") == 5 and said.count("failed    ") == 1

    started = journal(tmp_path, "start")
    assert len(started) == 6
    assert {(line["share"], line["threads"]) for line in started} == {("2", max(1, cores() // 4))}
    assert sorted(line["gpu"] for line in started[:4]) == ["0", "0", "1", "1"]
    most = max(journal(tmp_path, "together"), key=lambda line: len(line["gpus"]))
    assert most["gpus"] == ["0", "0", "1", "1"]
    states = {cell.folder: is_finished(cell.folder) for cell in grid.load(path).cells}
    assert [folder.parent.parent.name for folder, done in states.items() if not done] == ["fixmatch"]


RUN = """
import sys; from pathlib import Path; from slurm.jobs.job import Job; from slurm.jobs.pack import Pack
code = Path(sys.argv[1])
print(Pack(tuple(Job(run, run / "cell.yaml", code, "c0ffee", 20, per_gpu=2) for run in map(Path, sys.argv[2:])))())
"""


class Side:
    """Runs that share a job, each with what the stand-in trainer of test_job.py is to do."""

    def __init__(self, folder: Path, *plans: str) -> None:
        self.code, self.runs = folder / "code", [folder / f"run{number}" for number in range(len(plans))]
        (self.code / "pipeline").mkdir(parents=True)
        (self.code / "pipeline/train.py").write_text(TRAINER)
        for run, plan in zip(self.runs, plans, strict=True):
            run.mkdir()
            (run / "cell.yaml").write_text(plan)

    def start(self) -> "subprocess.Popen[str]":
        common = {"SUBMITIT_EXECUTOR": "local", "SUBMITIT_LOCAL_JOB_ID": "77", "SUBMITIT_LOCAL_NTASKS": "1"}
        common |= {"SUBMITIT_LOCAL_JOB_NUM_NODES": "1", "SUBMITIT_LOCAL_NODEID": "0"}
        common |= {"SUBMITIT_LOCAL_GLOBALID": "0", "SUBMITIT_LOCAL_LOCALID": "0"}
        return subprocess.Popen(
            [sys.executable, "-c", RUN, str(self.code), *map(str, self.runs)],
            env={"PATH": "/nowhere", "PYTHONPATH": str(PROJECT), **common},
            text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def ends(self) -> list[list[str]]:
        return [[event.event for event in history.events(run) if event.event != "start"] for run in self.runs]


def test_a_job_ends_with_its_last_run_and_goes_on_with_what_is_open(tmp_path: Path) -> None:
    side = Side(tmp_path, "crash", "finish", "mistake")
    out, _ = side.start().communicate(timeout=60)
    assert (out.strip(), side.ends()) == ("requeued", [["crashed"], ["finished"], ["failed"]])
    (side.runs[0] / "cell.yaml").write_text("finish")
    out, error = side.start().communicate(timeout=60)
    assert (out, side.ends()) == ("", [["crashed", "finished"], ["finished"], ["failed"]]), "each once, but the crashed"
    assert error.splitlines()[-1] == f"RuntimeError: failed, see train.log there: {side.runs[2]}"


def test_a_warning_reaches_every_run(tmp_path: Path) -> None:
    side = Side(tmp_path, "train", "train", "finish")
    job = side.start()
    wait_for(lambda: all((run / "status.json").exists() for run in side.runs), 30)
    wait_for(lambda: side.ends()[2] == ["finished"], 30)
    job.send_signal(signal.SIGUSR2)
    out, _ = job.communicate(timeout=30)
    assert (out.strip(), side.ends()) == ("requeued", [["preempted"], ["preempted"], ["finished"]])


MISTAKES = {
    "--per-gpu 0: at least 1": ["--cluster=local", "--per-gpu=0"],
    "--per-gpu 2: these runs use no GPU; leave it out, or give --gpus-per-node 1": ["--cluster=local", "--per-gpu=2"],
    "--per-gpu 2: --cluster debug runs one after another; use --cluster local": ["--cluster=debug", "--per-gpu=2"],
    "--per-gpu 2: runs that share a GPU have one rank on one; leave out the other counts": [
        "--cluster=slurm",
        "--per-gpu=2",
        "--gpus-per-node=4",
    ],
}


@pytest.mark.parametrize("message", MISTAKES)
def test_mistakes(message: str, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_grid(tmp_path, data)
    assert submit.main(["--grid", str(path), *MISTAKES[message]]) == 2
    assert capsys.readouterr().err == f"error: {message}\n"


def test_a_job_asks_for_the_cores_of_all_its_runs(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_grid(tmp_path, data)
    command = ["--grid", str(path), "--cluster=slurm", "--dry-run", "--per-gpu=4"]
    assert submit.main(command) == 0
    said = capsys.readouterr().out
    assert "#SBATCH --array=0-1%2" in said  # six runs
    assert "#SBATCH --cpus-per-task=8" in said and "#SBATCH --gpus-per-node=1" in said
    assert "for 6 runs to start, each with a GPU for itself\n" in said
    assert submit.main([*command, "--cpus-per-task=3"]) == 0
    assert "#SBATCH --cpus-per-task=12" in capsys.readouterr().out
