"""Who writes a run folder: one process, while it lives."""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipeline.runs import lock
from pipeline.runs.lock import Owner, RunLock, live_owner


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "PATIENCE_SECONDS", 0.3)
    monkeypatch.setattr(lock, "STALE_SECONDS", 1.0)


def owner(folder: Path, host: str, pid: int, age: float = 0, **more: int) -> None:
    (folder / "lock.json").write_text(json.dumps({"host": host, "pid": pid, "time": time.time() - age, **more}))


def written_by(folder: Path) -> int:
    return int(json.loads((folder / "lock.json").read_text())["pid"])


def test_it_is_held_until_released_and_beats(tmp_path: Path) -> None:
    lock = RunLock(tmp_path / "run")
    lock.claim()
    first = json.loads((tmp_path / "run/lock.json").read_text())
    assert (first["host"], first["pid"]) == (socket.gethostname(), os.getpid())
    time.sleep(0.4)  # a beat is due every quarter of STALE_SECONDS
    assert json.loads((tmp_path / "run/lock.json").read_text())["time"] > first["time"]
    lock.release()
    assert not list((tmp_path / "run").iterdir())


def test_a_live_process_keeps_it_and_a_dead_one_loses_it(tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "60"]) as other:
        owner(tmp_path, socket.gethostname(), other.pid)
        with pytest.raises(ValueError, match=rf"process {other.pid} on .* is writing this run; wait for it, or choose"):
            RunLock(tmp_path).claim()
        owner(tmp_path, socket.gethostname(), other.pid, started=1)  # the number was given out again
        RunLock(tmp_path).claim()
        assert written_by(tmp_path) == os.getpid()
        owner(tmp_path, socket.gethostname(), other.pid)
        other.kill()
        RunLock(tmp_path).claim()  # before its parent has asked how it ended
        assert written_by(tmp_path) == os.getpid()


def test_anyone_can_see_who_writes_it(tmp_path: Path) -> None:
    assert live_owner(tmp_path) is None
    lock = RunLock(tmp_path)
    lock.claim()
    assert live_owner(tmp_path) == Owner.this_process()
    lock.release()
    assert live_owner(tmp_path) is None
    owner(tmp_path, socket.gethostname(), 2**22 + 1)  # no such process
    assert live_owner(tmp_path) is None
    owner(tmp_path, "elsewhere", 1)
    assert live_owner(tmp_path) == Owner("elsewhere", 1, None)
    owner(tmp_path, "elsewhere", 1, age=2)
    assert live_owner(tmp_path) is None


def test_it_waits_for_a_process_that_is_about_to_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "PATIENCE_SECONDS", 20)
    with subprocess.Popen(["sleep", "0.5"]) as other:
        owner(tmp_path, socket.gethostname(), other.pid)
        RunLock(tmp_path).claim()
    assert written_by(tmp_path) == os.getpid()


def test_a_lock_of_another_host_counts_while_it_beats(tmp_path: Path) -> None:
    began = time.monotonic()
    owner(tmp_path, "elsewhere", 1)
    lock = RunLock(tmp_path)
    lock.claim()  # no beat for STALE_SECONDS
    lock.release()
    assert time.monotonic() - began > 0.9
    owner(tmp_path, "elsewhere", 1, age=-100)  # goes on beating
    with pytest.raises(ValueError, match="process 1 on elsewhere"):
        RunLock(tmp_path).claim()


def test_one_of_many_takes_over_a_dead_lock(tmp_path: Path) -> None:
    owner(tmp_path, socket.gethostname(), 2**22 + 1)  # no such process
    program = """
import sys, time
from pathlib import Path
from pipeline.runs import lock
lock.PATIENCE_SECONDS = 0
folder = Path(sys.argv[1])
(folder / f"ready{sys.argv[2]}").touch()
while len(list(folder.glob("ready*"))) < 6:
    time.sleep(0.001)
try:
    lock.RunLock(folder).claim()
except ValueError:
    sys.exit(2)
time.sleep(2)
"""
    command = [sys.executable, "-c", program, str(tmp_path)]
    all_of_them = [subprocess.Popen([*command, str(i)]) for i in range(6)]
    assert sorted(process.wait(60) for process in all_of_them) == [0, 2, 2, 2, 2, 2]
