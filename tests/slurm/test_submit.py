"""submit.py without a cluster: what it says, what it refuses, and what it would do."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline import config as configuration
from slurm import cluster, grid, situation, snapshot, submit
from slurm.cluster import Partition, Resources
from slurm.grid import PROJECT
from tests.support.grids import finish, write_grid

GOLDEN = Path(__file__).parent / "submit_dry_run.txt"
TWO_NODES = {"main": Partition(2, 4, 4000, 2, 720.0), "big": Partition(8, 128, 512000, 8, float("inf"))}


@pytest.fixture
def two_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the commands of such a cluster say; a real one is in test_slurm_cluster.py."""
    monkeypatch.setattr(cluster, "partitions", lambda: (TWO_NODES, "main"))
    monkeypatch.setattr(cluster, "refusal", lambda script: "")
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
    assert re.search(r"GPU-hours: about [\d,]{3,} for", out)
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
        ("night", "1_0"): ("PENDING", "Priority"),
        ("night", "1_1"): ("RUNNING", ""),
        ("other", "1_2"): ("RUNNING", ""),
    }
    monkeypatch.setattr(cluster, "queue", lambda: queue)
    kinds = [situation.situation(cell, queue).kind for cell in grid.load(path).cells]
    assert kinds == ["done", "pending", "running", "failed", "failed", "missing"]
    assert submit.main(["--grid", str(path), "--status"]) == 0
    out = capsys.readouterr().out
    assert "6 runs: 1 done, 1 running, 1 pending, 1 missing, 2 failed" in out
    for text in ("error 10.00  ECE 5.00", "Priority", "job 1_2 is gone and never trained", "ValueError: no luck"):
        assert text in out
    submit.main(["--grid", str(path), "--cluster=slurm", "--dry-run"])
    assert "#SBATCH --array=0-2%3" in capsys.readouterr().out


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
    now = situation.situation(cell, {("n", "1"): ("RUNNING", "")})
    # 700 steps of 16 + 112 images
    assert now == situation.Situation("running", 300, 1000, "left 0:11:40; preempted 2x, crashed 1x, lost 1x")


@pytest.mark.parametrize(
    ("text", "minutes"),
    [
        ("90", 90),
        ("30:30", 30.5),
        ("02:30:00", 150),
        ("1-00", 1440),
        ("2-12:30", 3630),
        ("1-01:01:30", 1501.5),
        ("infinite", float("inf")),
    ],
)
def test_time_limits(text: str, minutes: float) -> None:
    assert cluster.minutes(text) == minutes


def test_a_time_limit_that_is_none() -> None:
    with pytest.raises(ValueError, match="--time soon: expected minutes"):
        cluster.minutes("soon")


def test_a_partition_of_several_kinds_of_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    days = "3-00:00:00"
    lines = [
        f"gpu*|2|64|512000+|gpu:a100:4(S:0-1)|{days}",
        f"gpu*|1|96+|256000|gpu:h100:8,gpu:t4:1|{days}",
        "cpu|9|16|1|(null)|infinite",
    ]
    monkeypatch.setattr(cluster, "_ask", lambda *command: "\n".join(lines))
    assert cluster.partitions() == (
        {"gpu": Partition(3, 96, 512000, 9, 4320), "cpu": Partition(9, 16, 1, 0, float("inf"))},
        "gpu",
    )
    assert cluster.problems(Resources(nodes=3, gpus=8, tasks=8, cpus=8, minutes=60)) == []


def test_snapshot(tmp_path: Path) -> None:
    project = tmp_path / "project"
    for name, text in {
        "pipeline/a.py": "1",
        "slurm/b.py": "2",
        "runs/c.py": "3",
        "pipeline/__pycache__/a.pyc": "4",
    }.items():
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text(text)
    first = snapshot.place(project, tmp_path / "code")
    snapshot.take(project, first)
    snapshot.take(project, first)  # a second time is no work and no error
    assert sorted(str(p.relative_to(first)) for p in first.rglob("*.*")) == ["pipeline/a.py", "slurm/b.py"]
    (project / "pipeline/a.py").write_text("5")
    assert snapshot.place(project, tmp_path / "code") != first
    assert (first / "pipeline/a.py").read_text() == "1"
    assert snapshot.commit(project) == "unknown"


def test_a_snapshot_has_the_compiled_kernels(tmp_path: Path) -> None:
    project = tmp_path / "project"
    (project / "pipeline").mkdir(parents=True)
    (project / "pipeline/kernel.py").write_text(
        "import numba\n\n@numba.njit(cache=True)\ndef double(x):\n    return 2 * x\n"
    )
    hits = "from pipeline.kernel import double; double(1); print(sum(double.stats.cache_hits.values()))"

    def run(folder: Path) -> str:
        return subprocess.run([sys.executable, "-c", hits], cwd=folder, capture_output=True, text=True).stdout

    assert run(project) == "0\n"
    copy = snapshot.place(project, tmp_path / "code")
    snapshot.take(project, copy)
    assert run(copy) == "1\n"
    assert snapshot.place(project, tmp_path / "code") == copy


def test_the_snapshot_is_all_that_a_job_imports(tmp_path: Path) -> None:
    folder = snapshot.place(PROJECT, tmp_path)
    snapshot.take(PROJECT, folder)
    assert (folder / "slurm/paper_tables.yaml").is_file()
    assert (folder / "pipeline/train.py").read_text() == (PROJECT / "pipeline/train.py").read_text()
    assert configuration.load(None, ["dataset=x"])
