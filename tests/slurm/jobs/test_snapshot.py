"""The copy of the code that jobs run is whole, and stays as it was."""

import subprocess
import sys
from pathlib import Path

from pipeline import config as configuration
from slurm.grids.grid import PROJECT
from slurm.jobs import snapshot


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
    first = snapshot.location(project, tmp_path / "code")
    snapshot.take(project, first)
    snapshot.take(project, first)  # a second time is no work and no error
    assert sorted(str(p.relative_to(first)) for p in first.rglob("*.*")) == ["pipeline/a.py", "slurm/b.py"]
    (project / "pipeline/a.py").write_text("5")
    assert snapshot.location(project, tmp_path / "code") != first
    assert (first / "pipeline/a.py").read_text() == "1"
    assert snapshot.commit(project) == "unknown"


def test_a_snapshot_has_the_compiled_kernels(tmp_path: Path) -> None:
    project = tmp_path / "project"
    (project / "pipeline").mkdir(parents=True)
    (project / "pipeline/__init__.py").touch()  # so that it comes before the one that is installed
    (project / "pipeline/kernel.py").write_text(
        "import numba\n\n@numba.njit(cache=True)\ndef double(x):\n    return 2 * x\n"
    )
    hits = "from pipeline.kernel import double; double(1); print(sum(double.stats.cache_hits.values()))"

    def run(folder: Path) -> str:
        return subprocess.run([sys.executable, "-c", hits], cwd=folder, capture_output=True, text=True).stdout

    assert run(project) == "0\n"
    copy = snapshot.location(project, tmp_path / "code")
    snapshot.take(project, copy)
    assert run(copy) == "1\n"
    assert snapshot.location(project, tmp_path / "code") == copy


def test_the_snapshot_is_all_that_a_job_imports(tmp_path: Path) -> None:
    folder = snapshot.location(PROJECT, tmp_path)
    snapshot.take(PROJECT, folder)
    assert (folder / "slurm/grids/papers/mixup.yaml").is_file()
    assert (folder / "pipeline/train.py").read_text() == (PROJECT / "pipeline/train.py").read_text()
    assert configuration.load(None, ["dataset=x"])
