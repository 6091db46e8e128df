"""Where a run stands."""

import json
from pathlib import Path

from slurm.grids import grid
from slurm.jobs.cluster import Queued
from slurm.outcome.status import RunStatus, run_status
from tests.support.grids import write_grid


def test_eta_and_interruptions(tmp_path: Path, data: Path) -> None:
    cell = grid.load(write_grid(tmp_path, data, steps=1000)).cells[0]
    cell.folder.mkdir(parents=True)
    (cell.folder / "job.json").write_text('{"name": "n", "job": "1"}')
    (cell.folder / "status.json").write_text('{"state": "running", "step": 200, "steps": 1000}')
    lines = [
        '{"step": 100, "images_per_second": 64}',
        '{"step": 300, "images_per_second": 128}',
        '{"step": 300, "error": 9}',
    ]
    (cell.folder / "metrics.jsonl").write_text("\n".join(lines))
    events = ["start", "preempted", "start", "lost", "start", "preempted", "start", "crashed", "start"]
    (cell.folder / "jobs.jsonl").write_text("\n".join(json.dumps({"event": e, "step": 0}) for e in events))
    status = run_status(cell, {("n", "1"): Queued("RUNNING", "")})
    # 700 steps of 16 + 112 images
    assert status == RunStatus("running", 300, 1000, "left 0:11:40; preempted 2x, crashed 1x, lost 1x")
