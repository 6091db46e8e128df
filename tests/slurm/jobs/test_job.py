"""A job on its node: what it makes of every end of the trainer, and that no signal loses the requeue.

The trainer here is a stand-in that hangs, crashes or loses a rank on demand; the real one is in test_real_cluster.py.
"""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipeline.runs.read import read_status
from slurm.grids.grid import PROJECT
from slurm.jobs import history
from slurm.jobs.job import decide
from tests.support.minislurm import wait_for

TRAINER = """
import json, os, signal, sys, time
from pathlib import Path
run, what = Path(sys.argv[2]).parent, Path(sys.argv[2]).read_text()
def status(state): (run / "status.json").write_text(json.dumps({"state": state, "step": 4, "steps": 9}))
def stop(number, frame):
    status("preempted")
    sys.exit(0)
print("rank", os.environ.get("RANK"), "of", os.environ.get("WORLD_SIZE"), "commit", os.environ["CALIBRATEMIX_COMMIT"])
sys.stdout.flush()
if what != "deaf":
    signal.signal(signal.SIGUSR2, stop)
    signal.signal(signal.SIGTERM, stop)
status("running")
if what == "finish": (run / "result.json").write_text('{"error": 1, "ece": 2}')
elif what == "mistake": sys.exit(2)
elif what == "crash" or (what == "lose rank 1" and os.environ["RANK"] == "1"): raise ValueError("no luck")
else: time.sleep(60)
"""

RUN = """
import sys; from pathlib import Path; from slurm.jobs.job import Job
run, code = map(Path, sys.argv[1:3])
print(Job(run, run / "cell.yaml", code, "c0ffee", signal_delay=int(sys.argv[3]))())
"""


class Trial:
    """A run folder, the stand-in trainer, and jobs of it as processes."""

    def __init__(self, folder: Path, what: str) -> None:
        self.run, self.code = folder / "run", folder / "code"
        self.run.mkdir()
        (self.code / "pipeline").mkdir(parents=True)
        (self.code / "pipeline/train.py").write_text(TRAINER)
        (self.run / "cell.yaml").write_text(what)

    def start(self, delay: int = 20, **environment: str) -> "subprocess.Popen[str]":
        given = [sys.executable, "-c", RUN, str(self.run), str(self.code), str(delay)]
        return subprocess.Popen(
            given, env={"PATH": "/nowhere", "PYTHONPATH": str(PROJECT), **environment}, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def started(self) -> bool:
        return (self.run / "status.json").exists()

    def ends(self) -> list[str]:
        return [event.event for event in history.events(self.run) if event.event != "start"]


@pytest.mark.parametrize(
    ("what", "said", "event"),
    [("finish", "finished", "finished"), ("mistake", "", "failed"), ("crash", "requeued", "crashed")],
)
def test_ends_of_the_trainer(what: str, said: str, event: str, tmp_path: Path) -> None:
    trial = Trial(tmp_path, what)
    out, error = trial.start().communicate(timeout=60)
    assert (out.strip(), trial.ends()) == (said, [event])
    assert ("RuntimeError" in error) == (event == "failed")
    assert "rank None of None commit c0ffee" in (trial.run / "train.log").read_text()


def test_a_crash_is_tried_again_twice_where_nothing_moves(tmp_path: Path) -> None:
    trial = Trial(tmp_path, "crash")
    for _ in range(3):
        trial.start().communicate(timeout=60)
    assert trial.ends() == ["crashed", "crashed", "failed"]
    assert history.last_error(trial.run) == "ValueError: no luck"


@pytest.mark.parametrize("number", [signal.SIGUSR2, signal.SIGTERM])
def test_a_signal_is_passed_on_and_waited_for(number: signal.Signals, tmp_path: Path) -> None:
    trial = Trial(tmp_path, "train")
    job = trial.start()
    wait_for(trial.started, 30)
    job.send_signal(number)
    out, _ = job.communicate(timeout=30)
    assert (out.strip(), trial.ends(), read_status(trial.run).state) == ("requeued", ["preempted"], "preempted")


def test_a_trainer_that_does_not_end_in_time_does_not_cost_the_requeue(tmp_path: Path) -> None:
    trial = Trial(tmp_path, "deaf")
    job = trial.start(delay=2)
    wait_for(trial.started, 30)
    began = time.monotonic()
    job.send_signal(signal.SIGUSR2)
    out, _ = job.communicate(timeout=30)
    assert (out.strip(), trial.ends()) == ("requeued", ["preempted"])
    assert 1 < time.monotonic() - began < 10


def test_the_trainer_ends_with_its_job(tmp_path: Path) -> None:
    trial = Trial(tmp_path, "train")
    job = trial.start()
    wait_for(trial.started, 30)
    child = Path(f"/proc/{job.pid}/task/{job.pid}/children").read_text().split()[0]
    job.kill()
    job.wait()
    wait_for(
        lambda: not Path(f"/proc/{child}").exists() or "Z" in Path(f"/proc/{child}/stat").read_text().split()[2], 10
    )


def test_all_ranks_end_when_one_fails(tmp_path: Path) -> None:
    trial = Trial(tmp_path, "lose rank 1")
    common = {"SUBMITIT_EXECUTOR": "local", "SUBMITIT_LOCAL_JOB_ID": "77", "SUBMITIT_LOCAL_NTASKS": "2"}
    common |= {"SUBMITIT_LOCAL_JOB_NUM_NODES": "1", "SUBMITIT_LOCAL_NODEID": "0"}
    ranks = [trial.start(**common, SUBMITIT_LOCAL_GLOBALID=r, SUBMITIT_LOCAL_LOCALID=r) for r in "01"]
    said = [rank.communicate(timeout=40)[0].strip() for rank in ranks]  # rank 0 would sleep for a minute
    assert said == ["requeued", "rank 1 ended with code 1"]
    assert trial.ends() == ["crashed"]
    assert history.last_error(trial.run) == "ValueError: no luck"  # not that of rank 0, which was ended


@pytest.mark.parametrize(
    ("code", "state", "signalled", "may_crash", "verdict"),
    [
        (0, "finished", False, True, "finished"),
        (-9, "finished", True, True, "finished"),  # the result is there, whatever came after
        (0, "preempted", True, True, "preempted"),
        (0, "preempted", False, False, "preempted"),  # a signal to the trainer alone
        (-15, "running", True, False, "preempted"),  # before it could listen
        (-9, "running", False, True, "crashed"),
        (-9, "running", False, False, "failed"),
        (0, "running", False, False, "failed"),
        (2, "running", True, True, "failed"),  # the same mistake again
    ],
)
def test_decisions(code: int, state: str, signalled: bool, may_crash: bool, verdict: str) -> None:
    assert decide(code, state == "finished", state, signalled, may_crash) == verdict
