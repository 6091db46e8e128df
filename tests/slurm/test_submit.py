"""submit.py without a cluster: what it says, what it refuses, and what it would do."""

import json
import re
import sys
from pathlib import Path

import pytest

from slurm import submit
from slurm.grids import grid
from slurm.grids.grid import PROJECT
from slurm.jobs import cluster
from slurm.jobs.cluster import Partition, Queued
from slurm.outcome.status import run_status
from tests.support.grids import finish, write_grid

GOLDEN = Path(__file__).parent / "submit_dry_run.txt"
TWO_NODES = {"main": Partition(2, 4, 4000, 2, 720.0), "big": Partition(8, 128, 512000, 8, float("inf"))}


@pytest.fixture
def two_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the commands of such a cluster say; a real one is in jobs/test_real_cluster.py."""
    monkeypatch.setattr(cluster, "partitions", lambda: (TWO_NODES, "main"))
    monkeypatch.setattr(cluster, "sbatch_refusal", lambda script: "")
    monkeypatch.setattr(cluster, "queue", dict)
    monkeypatch.setattr(cluster, "max_array_size", lambda: 1000)
    monkeypatch.setenv("SLURM_CONF", "/private/slurm.conf")


def test_dry_run_golden(
    two_nodes: None, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_grid(tmp_path, data, steps=2**18)
    asked = ["--partition=main", "--gpus-per-node=2", "--cpus-per-task=2", "--mem=3.5", "--time=12:00:00", "--sbatch"]
    assert submit.main(["--grid", str(path), "--cluster=slurm", "--dry-run", *asked, "nice=5"]) == 0
    text = capsys.readouterr().out.replace(str(tmp_path), "DIR")
    text = re.sub(r"digits_grid-\d{8}-\d{6}", "digits_grid-TIME", text)
    text = re.sub(r"/code/[0-9a-f]{12}", "/code/HASH", re.sub(r"/(\d)-[0-9a-f]{8} ", r"/\1-HASH ", text))
    text = text.replace(sys.executable, "PYTHON")
    assert text == GOLDEN.read_text()
    assert sorted(p.name for p in tmp_path.iterdir()) == [path.name]  # nothing was written


@pytest.mark.parametrize("table", [1, 2, 3, 4])
def test_dry_run_of_a_table_needs_neither_data_nor_slurm(
    table: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert submit.main(["--grid", str(PROJECT / f"configs/table{table}.yaml"), "--cluster=slurm", "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[-1] == f"runs: {({1: 204, 2: 360, 3: 48, 4: 42})[table]}"
    assert re.search(r"warning: data/\w+: no such data folder; make it with dataprep/make_beton.py", out)
    assert "warning: sinfo is not on the PATH" in out
    assert "GPU-hours: not measured; benchmarks/gpu_hours.py FILE measures a step here" in out
    assert not list(tmp_path.iterdir())


REFUSED = {
    "--nodes 3: partition main has 2": ["--nodes=3"],
    "--gpus-per-node 4: the nodes of partition main have 2": ["--gpus-per-node=4", "--cpus-per-task=1"],
    "--cpus-per-task 3 times 2 tasks a node: the nodes of partition main have 4": ["--cpus-per-task=3"],
    "--mem 5: the nodes of partition main have 3.9 GB": ["--mem=5"],
    "--time: 1440 minutes, but partition main allows 720": ["--time=1-00:00:00"],
    "--time 3 min: less than twice --signal-delay 120 s": ["--time=3"],
    "--partition bigg: no such partition; this cluster has main, big": ["--partition=bigg"],
    "64 ranks do not divide the batches of digits; use a power of two": [
        "--partition=big",
        "--nodes=8",
        "--gpus-per-node=8",
    ],
}


@pytest.mark.parametrize("message", REFUSED)
def test_impossible_resources_are_refused_before_anything_is_written(
    message: str, two_nodes: None, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_grid(tmp_path, data, batch={"labelled": 16})
    usual = ["--gpus-per-node=2", "--cpus-per-task=2", "--time=60"]
    given = ["--grid", str(path), "--cluster=slurm", *usual, *REFUSED[message]]
    assert submit.main(given) == 2
    assert capsys.readouterr().err == f"error: {message}\n"
    assert not (tmp_path / "runs").exists()
    assert submit.main([*given, "--dry-run"]) == 0
    assert f"warning: {message}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        (["data=/nowhere"], r"error: /nowhere/digits: no such data folder; make it with dataprep/make_beton.py"),
        (["labels=7"], r"error: .*/digits: no split 7-seed0; add it with dataprep/make_beton.py"),
        (["stepps=7"], r"error: .*digits_grid.yaml: FixMatch, digits, labels 4: stepps: unknown option; .* steps\?"),
    ],
)
def test_mistakes_are_refused_in_one_line(
    sets: list[str], message: str, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_grid(tmp_path, data, seeds=1)
    assert submit.main(["--grid", str(path), "--cluster=debug", "--set", *sets]) == 2
    error = capsys.readouterr().err
    assert re.fullmatch(message + r"[^\n]*\n", error)
    assert not (tmp_path / "runs").exists()


def test_only_what_is_open_is_started(
    two_nodes: None, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_grid(tmp_path, data)
    done, waiting, running, lost, failed, _ = grid.load(path).cells
    finish(done, 10, 5)
    for index, cell in enumerate((waiting, running, lost, failed)):
        cell.folder.mkdir(parents=True)
        (cell.folder / "job.json").write_text(json.dumps({"name": "night", "job": f"1_{index}"}))
    (failed.folder / "jobs.jsonl").write_text('{"event": "start"}\n{"event": "failed", "step": 3}\n{"ev')
    (failed.folder / "train.log").write_text("...\nValueError: no luck\n")
    (failed.folder / "status.json").write_text('{"state": "running", "step": 3, "steps": 600}')
    # the ids of another cluster's jobs are no reason to wait
    queue = {
        ("night", "1_0"): Queued("PENDING", "Priority"),
        ("night", "1_1"): Queued("RUNNING", ""),
        ("other", "1_2"): Queued("RUNNING", ""),
    }
    monkeypatch.setattr(cluster, "queue", lambda: queue)
    states = [run_status(cell, queue).state for cell in grid.load(path).cells]
    assert states == ["done", "pending", "running", "failed", "failed", "missing"]
    assert submit.main(["--grid", str(path), "--status"]) == 0
    out = capsys.readouterr().out
    assert "6 runs: 1 done, 1 running, 1 pending, 1 missing, 2 failed" in out
    for text in ("error 10.00  ECE 5.00", "Priority", "job 1_2 is gone and never trained", "ValueError: no luck"):
        assert text in out
    submit.main(["--grid", str(path), "--cluster=slurm", "--dry-run"])
    assert "#SBATCH --array=0-2%3" in capsys.readouterr().out
