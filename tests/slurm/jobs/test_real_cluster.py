"""A grid on a real SLURM: disturbed in every way a cluster knows, each run ends as if nothing had happened."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.runs.read import is_finished, last_training_line
from slurm import collect, submit
from slurm.grids import grid
from slurm.grids.grid import Cell
from slurm.jobs import history, submission
from slurm.outcome.status import run_status
from tests.support import minislurm
from tests.support.grids import write_grid
from tests.support.minislurm import NODES, PRIVATE, MiniSlurm, wait_for
from tests.support.stand_in import journal, stand_in_project

TIMES = {"seconds", "images_per_second"}  # whatever differs between two runs of the same thing
SIZE: dict[str, Any] = {"steps": 24, "eval_every": 24, "checkpoint_every": 8, "log_every": 2, "precision": "fp32"}
SIZE |= {"batch": {"labelled": 8}, "warmup_steps": 4}
PATIENCE = 900  # seconds, on cores that others use too
ONE_CORE = ["--cpus-per-task=1", "--time=60", "--signal-delay=30"]

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("cluster")]


@pytest.fixture(scope="session")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MiniSlurm]:
    """Two nodes. In CI it is never absent; elsewhere its absence is loud."""
    if lacking := minislurm.missing():
        text = f"NO SLURM HERE ({', '.join(lacking)} missing): grids on a cluster are NOT TESTED; see make doctor"
        if os.environ.get("CI"):
            pytest.fail(text)
        pytest.skip(text)
    with_nodes = MiniSlurm(tmp_path_factory.mktemp("slurm"))
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)  # also then nothing is left behind
    try:
        with_nodes.start()
        yield with_nodes
    finally:
        with_nodes.stop()
        signal.signal(signal.SIGTERM, before)


@pytest.fixture
def client(slurm: MiniSlurm, monkeypatch: pytest.MonkeyPatch) -> Iterator[MiniSlurm]:
    """This process is a client of that cluster, and leaves it empty."""
    become_client(slurm, monkeypatch)
    yield slurm
    slurm.cancel_all()


def become_client(slurm: MiniSlurm, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(PRIVATE)]:
        monkeypatch.delenv(name)
    for name in ("SLURM_CONF", "PATH"):
        monkeypatch.setenv(name, slurm.env[name])


@pytest.mark.long
def test_every_disturbance(client: MiniSlurm, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_grid(tmp_path, data, **SIZE)
    asked = ["--grid", str(path), "--cluster=slurm", "--gpus-per-node=1", *ONE_CORE]
    assert submit.main([*asked, "--sbatch", "hold"]) == 0
    cells = list(grid.load(path).runs().values())
    killed, requeued, cancelled, late, graced, ungraced = cells
    jobs = {cell: submitted_as(cell) for cell in cells}
    array = jobs[killed].partition("_")[0]
    assert list(jobs.values()) == [f"{array}_{index}" for index in range(6)]  # one array
    # the same partition would wait for the other: each has a node
    wanted = {graced: (NODES[1], "low"), ungraced: (NODES[1], "lowkill")}
    for cell in cells:
        node, partition = wanted.get(cell, (NODES[0], "main"))
        client.run("scontrol", "update", f"JobId={jobs[cell]}", f"ReqNodeList={node}", f"Partition={partition}")
    client.run("scontrol", "release", *jobs.values())

    held = hold_at_first_step(cells)
    end_soon(client, jobs[late])
    undisturbed = start_undisturbed(cells, tmp_path)
    os.kill(held[killed], signal.SIGKILL)
    client.run("scontrol", "requeue", jobs[requeued])
    client.run("scancel", jobs[cancelled])
    client.run("sbatch", "-p", "main", "-w", NODES[1], "--gpus-per-node=4", "-o", "/dev/null", "--wrap", "true")
    go_on_when_warned(held[graced])
    go_on_when_warned(held[late])
    client.run("scontrol", "update", f"JobId={jobs[late]}", "TimeLimit=60")  # of its next life
    wait_for(lambda: jobs[cancelled] not in client.jobs(), PATIENCE, lambda: logs(cells))
    assert run_status(cancelled, {}).state == "preempted"  # and not back in the queue
    assert submit.main(asked) == 0
    assert "submitted 1 runs" in capsys.readouterr().out  # the others wait or run

    wait_for(lambda: all(ends(cell)[-1:] == ["finished"] for cell in cells), PATIENCE, lambda: logs(cells))
    assert [ends(cell) for cell in cells] == [["crashed", "finished"], *[["preempted", "finished"]] * 5]
    assert [process.wait() for process in undisturbed] == [0, 0]
    assert [result(cell.folder) for cell in cells] == [result(tmp_path / f"{index}") for index in range(len(cells))]
    assert_traceable(cells, path, capsys)


def test_two_runs_share_the_gpu_of_a_job(
    client: MiniSlurm, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One crashes: the other ends undisturbed, then the job comes back for it alone."""
    crash = {"fixmatch__4__0": "crash once"}
    monkeypatch.setattr(submission, "PROJECT", stand_in_project(tmp_path, together=2, patience=10, **crash))
    path = write_grid(tmp_path, data, seeds=1)
    asked = ["--grid", str(path), "--cluster=slurm", "--per-gpu=2", *ONE_CORE]
    assert submit.main(asked) == 0
    cells = grid.load(path).cells
    assert len({submitted_as(cell) for cell in cells}) == 1
    wait_for(lambda: all(ends(cell)[-1:] == ["finished"] for cell in cells), PATIENCE, lambda: logs(cells))
    assert [ends(cell) for cell in cells] == [["crashed", "finished"], ["finished"]]
    assert [len(line["gpus"]) for line in journal(tmp_path, "together")] == [2, 2, 1]
    (gpus,) = {tuple(line["gpus"]) for line in journal(tmp_path, "together")[:2]}
    assert gpus[0] == gpus[1]


def assert_traceable(cells: Sequence[Cell], path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The table is full, and each run says which code it ran: the snapshot's, under the checkout's commit."""
    made = json.loads((cells[0].folder / "environment.json").read_text())
    job = json.loads((cells[0].folder / "job.json").read_text())
    assert made["git"] == job["commit"]
    assert made["command"][0] == f"{job['code']}/pipeline/train.py"
    assert len(job["split_sha256"]) == 64
    assert submit.main(["--grid", str(path), "--status"]) == 0
    assert "6 runs: 6 done" in capsys.readouterr().out
    assert collect.main(["--grid", str(path)]) == 0
    printed = capsys.readouterr().out
    assert "6 of 6 cells are finished." in printed
    assert "missing" not in printed


def hold_at_first_step(cells: Sequence[Cell]) -> dict[Cell, int]:
    """Stops every trainer once it trains, so that none ends before its turn; returns their pids."""
    held: dict[Cell, int] = {}

    def look() -> bool:
        for cell in cells:
            if cell not in held and last_training_line(cell.folder):
                held[cell] = json.loads((cell.folder / "lock.json").read_text())["pid"]
                os.kill(held[cell], signal.SIGSTOP)
        return len(held) == len(cells)

    wait_for(look, PATIENCE, lambda: logs(cells))
    return held


def go_on_when_warned(pid: int) -> None:
    """Continues a held trainer once SIGUSR2 waits for it, unless SLURM or its job was faster."""

    def pending() -> int:
        mask = Path(f"/proc/{pid}/status").read_text().partition("ShdPnd:")[2].split()[0]
        return int(mask, 16) >> (signal.SIGUSR2 - 1) & 1

    with suppress(ProcessLookupError, FileNotFoundError):
        wait_for(pending, PATIENCE)
        os.kill(pid, signal.SIGCONT)


def end_soon(client: MiniSlurm, job: str) -> None:
    """Sets the time limit, whole minutes from the start, to an end that is 45 to 105 seconds away."""
    clock = client.run("squeue", "-h", "-j", job, "-o", "%M").strip().split(":")  # 1:02:03 or 2:03
    elapsed = sum(int(part) * 60**power for power, part in enumerate(reversed(clock)))
    client.run("scontrol", "update", f"JobId={job}", f"TimeLimit={-(-(elapsed + 45) // 60)}")


def submitted_as(cell: Cell) -> str:
    """The id of its job."""
    job = history.last_job(cell.folder)
    assert job is not None
    return job.job


def ends(cell: Cell) -> list[str]:
    return [event.event for event in history.events(cell.folder) if event.event != "start"]


def result(run: Path) -> dict[str, Any]:
    """result.json without times and rates."""
    found = json.loads((run / "result.json").read_text())
    return {name: value for name, value in found.items() if name not in TIMES}


def start_undisturbed(cells: Sequence[Cell], out: Path) -> list[subprocess.Popen[bytes]]:
    """The same runs, to ``out``/0, 1, ..., without a grid or a job: in two processes, each one after another."""
    script = "import sys; from pipeline.train import main; sys.exit(max(main(a.split()) for a in sys.argv[1:]))"
    folders, orders = [out / f"{index}" for index in range(len(cells))], []
    for cell, folder in zip(cells, folders, strict=True):
        path = out / f"{folder.name}.yaml"
        path.write_text(yaml.safe_dump(cell.config.to_dict()))
        orders.append(f"--config {path} --set out={folder} threads=1")
    halves = (orders[::2], orders[1::2])
    return [subprocess.Popen([sys.executable, "-c", script, *half], stdout=subprocess.DEVNULL) for half in halves]


def logs(cells: Sequence[Cell]) -> str:
    paths = [path for cell in cells for path in (*sorted(cell.folder.glob("*.log")), cell.folder / "jobs.jsonl")]
    return "\n".join(f"--- {path}\n{path.read_text()[-1500:]}" for path in paths if path.exists())


def test_two_nodes_compute_what_one_does(client: MiniSlurm, data: Path, tmp_path: Path) -> None:
    cells, only = [], "method=FixMatch + CalibrateMix"
    for nodes, tasks in ((2, 2), (1, 4)):
        folder = tmp_path / f"{nodes}"
        folder.mkdir()
        path = write_grid(folder, data, seeds=1, **SIZE | {"steps": 6, "eval_every": 6, "warmup_steps": 2})
        sizes = [f"--nodes={nodes}", f"--tasks-per-node={tasks}", f"--gpus-per-node={tasks}"]
        assert submit.main(["--grid", str(path), "--cluster=slurm", "--only", only, *sizes, *ONE_CORE]) == 0
        cells += grid.select(grid.load(path), only).cells
    wait_for(lambda: all(is_finished(cell.folder) for cell in cells), PATIENCE, lambda: logs(cells))
    assert [json.loads((cell.folder / "environment.json").read_text())["ranks"] for cell in cells] == [4, 4]
    assert result(cells[0].folder) == result(cells[1].folder)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (["--nodes=3"], "error: --nodes 3: partition main has 2\n"),
        (["--partition=night"], "error: --partition night: no such partition; this cluster has main, low, lowkill\n"),
        (["--gpus-per-node=5"], "error: --gpus-per-node 5: the nodes of partition main have 4\n"),
        (["--sbatch", "constraint=fast"], "error: sbatch: allocation failure: Invalid feature specification\n"),
    ],
)
def test_refusals(
    asked: list[str], message: str, client: MiniSlurm, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_grid(tmp_path, data)
    assert submit.main(["--grid", str(path), "--cluster=slurm", "--tasks-per-node=1", "--cpus-per-task=1", *asked]) == 2
    error = capsys.readouterr().err
    assert error.startswith(message)
    assert error.count("\n") == 1
    assert not (tmp_path / "runs").exists()
    assert not client.jobs()


def test_arrays_stay_below_the_clusters_limit(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slurm = MiniSlurm(tmp_path / "slurm", max_array=5)
    try:
        slurm.start()
        become_client(slurm, monkeypatch)
        path = write_grid(tmp_path, data)
        asked = ["--grid", str(path), "--cluster=slurm", "--cpus-per-task=1", "--sbatch", "hold"]
        assert submit.main(asked) == 0
        ids = [submitted_as(cell) for cell in grid.load(path).cells]
        first, second = ids[0].partition("_")[0], ids[4].partition("_")[0]
        assert ids == [*(f"{first}_{i}" for i in range(4)), *(f"{second}_{i}" for i in range(2))]
        assert sorted(slurm.jobs()) == sorted(ids)
        assert submit.main(asked) == 0  # all of them wait: nothing to start
        assert sorted(slurm.jobs()) == sorted(ids)
    finally:
        slurm.stop()
