"""A job on its node: what it makes of every end of the trainer, and that no signal loses the requeue.

The trainer here is a stand-in that hangs, crashes or loses a rank on demand; the real one is in test_slurm_cluster.py.
"""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from slurm import runs
from slurm.grid import PROJECT
from slurm.job import Place, decide
from slurm.runs import RunState
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
import sys; from pathlib import Path; from slurm.job import Job
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
        return [event["event"] for event in runs.events(self.run) if event["event"] != "start"]


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
    assert runs.last_error(trial.run) == "ValueError: no luck"


@pytest.mark.parametrize("number", [signal.SIGUSR2, signal.SIGTERM])
def test_a_signal_is_passed_on_and_waited_for(number: signal.Signals, tmp_path: Path) -> None:
    trial = Trial(tmp_path, "train")
    job = trial.start()
    wait_for(trial.started, 30)
    job.send_signal(number)
    out, _ = job.communicate(timeout=30)
    assert (out.strip(), trial.ends(), runs.read(trial.run).status) == ("requeued", ["preempted"], "preempted")


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
    assert runs.last_error(trial.run) == "ValueError: no luck"  # not that of rank 0, which was ended


def test_a_job_that_was_killed_before_its_last_word_gets_one(tmp_path: Path) -> None:
    for status, event in (("preempted", "preempted"), ("running", "lost")):
        runs.append_event(tmp_path, "start", "7_1", 3)
        (tmp_path / "status.json").write_text(json.dumps({"state": status}))
        runs.settle(tmp_path)
        runs.settle(tmp_path)  # once is enough
        last = runs.events(tmp_path)[-1]
        assert (last["event"], last["job"], last["restart"]) == (event, "7_1", 3)
    assert runs.interruptions(tmp_path) == {"preempted": 1, "crashed": 0, "lost": 1}


FINISHED, RUNNING, PREEMPTED = (RunState(s, 5, 9, s == "finished") for s in ("finished", "running", "preempted"))


@pytest.mark.parametrize(
    ("code", "state", "signalled", "may_crash", "verdict"),
    [
        (0, FINISHED, False, True, "finished"),
        (-9, FINISHED, True, True, "finished"),  # the result is there, whatever came after
        (0, PREEMPTED, True, True, "preempted"),
        (0, PREEMPTED, False, False, "preempted"),  # a signal to the trainer alone
        (-15, RUNNING, True, False, "preempted"),  # before it could listen
        (-9, RUNNING, False, True, "crashed"),
        (-9, RUNNING, False, False, "failed"),
        (0, RUNNING, False, False, "failed"),
        (2, RUNNING, True, True, "failed"),  # the same mistake again
    ],
)
def test_decisions(code: int, state: RunState, signalled: bool, may_crash: bool, verdict: str) -> None:
    assert decide(code, state, signalled, may_crash) == verdict


def test_environment_of_a_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    place = Place("12_1", "slurm", rank=5, world=8, local_rank=1, local_world=4, host="node1", restart=2)
    found = place.environment()
    expected = {"RANK": "5", "WORLD_SIZE": "8", "LOCAL_WORLD_SIZE": "4", "MASTER_ADDR": "node1"}
    assert expected.items() <= found.items()
    assert found["LOCAL_RANK"] == "0"  # one GPU is bound to each task
    assert 20000 <= int(found["MASTER_PORT"]) < 32000
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2,3")
    assert place.environment()["LOCAL_RANK"] == "1"
    monkeypatch.setenv("RANK", "9")
    assert "RANK" not in Place("12", "slurm").environment()  # alone


def test_events_survive_a_cut_line(tmp_path: Path) -> None:
    runs.append_event(tmp_path, "crashed", "1", 0, step=4, code=-9)
    runs.append_event(tmp_path, "crashed", "1", 1, step=8, code=-9)
    assert [runs.crashes_here(tmp_path, step) for step in (4, 8)] == [0, 1]
    with (tmp_path / "jobs.jsonl").open("a") as file:
        file.write('{"event": "fini')
    assert len(runs.events(tmp_path)) == 2
    assert json.loads((tmp_path / "jobs.jsonl").read_text().splitlines()[0])["code"] == -9
