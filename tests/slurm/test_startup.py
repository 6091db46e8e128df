"""Grids answer at once: nothing on the way imports what takes seconds."""

import subprocess
import sys
from pathlib import Path

import pytest

from slurm.grids.grid import PROJECT

HEAVY = ("torch", "torchvision", "numba", "scipy", "ffcv", "matplotlib", "rich")
PROGRAM = """
import sys
from slurm import submit
try:
    code = submit.main(sys.argv[2:])
except SystemExit as end:
    code = end.code
print(code, *(name for name in sys.argv[1].split() if name in sys.modules))
"""


@pytest.mark.parametrize(("arguments", "code"), [(["--dry-run"], 0), (["--set", "stepps=3"], 2), (["--help"], 0)])
def test_submit_imports_nothing_heavy(arguments: list[str], code: int, tmp_path: Path) -> None:
    given = ["--grid", str(PROJECT / "configs/table3.yaml"), "--root", str(tmp_path), *arguments]
    command = [sys.executable, "-c", PROGRAM, " ".join(HEAVY), *given]
    out = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True).stdout
    assert out.splitlines()[-1] == str(code)


@pytest.mark.parametrize("module", ["pipeline.config", "pipeline.runs.folder", "pipeline.runs.environment"])
def test_options_and_run_folders_need_no_torch(module: str) -> None:
    program = f"import sys, {module}; print(*(name for name in {HEAVY} if name in sys.modules))"
    out = subprocess.run([sys.executable, "-c", program], cwd=PROJECT, capture_output=True, text=True).stdout
    assert out == "\n"
