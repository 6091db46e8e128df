"""What jobs leave in a run folder survives kills, and counts what happened."""

import json
from pathlib import Path

from slurm.jobs import history
from slurm.jobs.history import JobRecord


def test_a_job_that_was_killed_before_its_last_word_gets_one(tmp_path: Path) -> None:
    for status, event in (("preempted", "preempted"), ("running", "lost")):
        history.append_event(tmp_path, "start", "7_1", 3)
        (tmp_path / "status.json").write_text(json.dumps({"state": status}))
        history.close_last_start(tmp_path)
        history.close_last_start(tmp_path)  # once is enough
        last = history.events(tmp_path)[-1]
        assert (last.event, last.job, last.restart) == (event, "7_1", 3)
    assert history.stops(tmp_path) == {"preempted": 1, "crashed": 0, "lost": 1}


def test_events_survive_a_cut_line(tmp_path: Path) -> None:
    history.append_event(tmp_path, "crashed", "1", 0, step=4, code=-9)
    history.append_event(tmp_path, "crashed", "1", 1, step=8, code=-9)
    assert [history.crashes_at(tmp_path, step) for step in (4, 8)] == [0, 1]
    with (tmp_path / "jobs.jsonl").open("a") as file:
        file.write('{"event": "fini')
    assert len(history.events(tmp_path)) == 2
    assert json.loads((tmp_path / "jobs.jsonl").read_text().splitlines()[0])["code"] == -9


def test_a_job_record_is_read_as_written_and_in_part(tmp_path: Path) -> None:
    assert history.last_job(tmp_path) is None
    record = JobRecord("7_1", "night", "slurm", "/s", "c0ffee", "/code", "5eed", 3.5)
    history.write_job(tmp_path, record)
    assert history.last_job(tmp_path) == record
    (tmp_path / "job.json").write_text('{"job": "8", "of_a_later_version": 1}')
    assert history.last_job(tmp_path) == JobRecord(job="8")
