"""The set-up scripts: a finished set-up costs nothing, a bare machine gets told what to install."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = [*sorted((ROOT / "scripts").glob("*.sh")), ROOT / ".ci" / "run"]
MANAGERS = ("apt:", "dnf:", "conda:", "brew:")
# What the scripts use of any Unix. No compiler, no pkg-config, no apt-get, no sudo, no Python.
PLAIN_TOOLS = (
    "awk bash basename cat cp cut date df dirname env find getconf grep head id ls mkdir mktemp mv nproc printf "
    "rm sed sha256sum shasum sort tail touch tr uname wc"
)


def run(*command: str | Path, cwd: Path = ROOT, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Runs without standard input; PATH and HOME apart, the environment is what `env` says."""
    base = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), "LC_ALL": "C"}
    return subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=base | (env or {}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=600,
    )


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of what the set-up reads, without an environment; its path has a space in it."""
    copy = tmp_path / "a checkout"
    copy.mkdir()
    shutil.copytree(ROOT / "scripts", copy / "scripts")
    for name in ("pyproject.toml", "Makefile"):
        shutil.copy(ROOT / name, copy / name)
    return copy


@pytest.fixture
def bare_path(tmp_path: Path) -> Path:
    """A folder for PATH that has everyday tools, a C++ compiler and make, but no pkg-config and no apt-get."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in [*PLAIN_TOOLS.split(), "g++", "c++", "make"]:
        if found := shutil.which(name):
            (folder / name).symlink_to(found)
    base = getattr(sys, "_base_executable", sys.executable)
    wrapper = folder / "python3"  # a script: a symlink would look like another installation to Python
    wrapper.write_text(f'#!/bin/sh\nexec "{base}" "$@"\n')
    wrapper.chmod(0o755)
    return folder


@pytest.fixture
def finished(checkout: Path) -> Iterator[Path]:
    """A checkout with an environment whose stamp is the one that setup.sh itself would write."""
    venv = checkout / ".venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True)
    stamp = run("bash", "-c", '. scripts/lib.sh; printf "%s\\n%s\\n" "$(stamp_now)" "$VENV" >"$STAMP"', cwd=checkout)
    assert stamp.returncode == 0, stamp.stderr
    yield checkout


def state(checkout: Path, **env: str) -> str:
    return run("bash", "-c", ". scripts/lib.sh; venv_state", cwd=checkout, env=env).stdout.strip()


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_syntax(script: Path) -> None:
    result = run("bash", "-n", script)
    assert result.returncode == 0, result.stderr
    if script.name != "lib.sh":
        assert os.access(script, os.X_OK), f"{script} must be executable"


def test_finished_setup_does_nothing_and_is_quick(finished: Path, tmp_path: Path) -> None:
    stamp = finished / ".venv" / ".ready"
    before = (stamp.read_bytes(), stamp.stat().st_mtime_ns, sorted((finished / ".venv").iterdir()))
    started = resource.getrusage(resource.RUSAGE_CHILDREN)
    result = run("bash", finished / "scripts" / "setup.sh", cwd=tmp_path)  # from another folder
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert result.returncode == 0, result.stderr
    assert result.stdout == ""
    assert ended.ru_utime + ended.ru_stime - started.ru_utime - started.ru_stime < 1  # of processor time
    assert before == (stamp.read_bytes(), stamp.stat().st_mtime_ns, sorted((finished / ".venv").iterdir()))


def test_states_of_the_environment(finished: Path) -> None:
    venv = finished / ".venv"
    assert state(finished) == "ready"
    assert state(finished, PYTHONPATH="/nowhere", PIP_TARGET="/nowhere", CONDA_PREFIX="/nowhere") == "ready"
    assert state(finished, PYTHON=sys.executable) == "ready"
    assert state(finished, VENV=".venv-other") == "none"

    with (finished / "pyproject.toml").open("a") as file:
        file.write("\n# one more line\n")
    assert state(finished) == "stale"
    (venv / ".installing").touch()
    assert state(finished) == "interrupted"
    (venv / ".installing").unlink()
    (venv / ".ready").unlink()
    assert state(finished) == "unknown"
    for link in ("python", "python3"):
        (venv / "bin" / link).unlink()
    assert state(finished) == "moved", "its Python is gone"
    shutil.rmtree(venv)
    assert state(finished) == "none"


def test_a_moved_checkout_is_not_ready(finished: Path) -> None:
    moved = finished.with_name("elsewhere")
    finished.rename(moved)
    assert state(moved) == "moved"


def test_a_folder_that_is_no_environment_is_left_alone(checkout: Path, bare_path: Path) -> None:
    precious = checkout / "precious"
    precious.mkdir()
    (precious / "file").write_text("mine")
    source = (checkout / "scripts" / "setup.sh").read_text().replace('main "$@"', "remove_venv")
    (checkout / "scripts" / "setup.sh").write_text(source)
    result = run("bash", "scripts/setup.sh", cwd=checkout, env={"VENV": "precious"})
    assert result.returncode == 2
    assert "not touched" in result.stderr
    assert (precious / "file").read_text() == "mine"


def test_missing_tool_without_apt_is_explained(checkout: Path, bare_path: Path) -> None:
    result = run("bash", "scripts/setup.sh", cwd=checkout, env={"PATH": str(bare_path)})
    assert result.returncode == 2, result.stdout + result.stderr
    lines = [line.strip() for line in result.stderr.splitlines()]
    for manager in MANAGERS:
        assert any(line.startswith(manager) for line in lines), f"no line for {manager}\n{result.stderr}"
    apt = next(line for line in lines if line.startswith("apt:"))
    assert {"pkg-config", "libopencv-dev", "libturbojpeg0-dev"} <= set(apt.split())
    assert not {"g++", "make"} & set(apt.split()), "what is there need not be installed"
    assert not (checkout / ".venv").exists()


def test_doctor_before_any_setup_names_what_is_missing(checkout: Path, bare_path: Path, tmp_path: Path) -> None:
    result = run("bash", checkout / "scripts" / "doctor.sh", cwd=tmp_path, env={"PATH": str(bare_path)})
    assert result.returncode == 2, result.stdout + result.stderr
    assert result.stderr == ""
    missing = [line.split()[1] for line in result.stdout.splitlines() if line.split()[:1] == ["MISSING"]]
    assert {"pkg-config", "opencv4", "libturbojpeg", ".venv"} <= set(missing)
    assert not {"make", "python"} & set(missing)
    assert all(f"  {manager}" in result.stdout for manager in MANAGERS)
    assert "SLURM sbatch" in result.stdout and "free disk" in result.stdout and "CUDA devices" in result.stdout


@pytest.mark.slow
def test_doctor_says_in_red_that_a_gpu_cannot_be_used(tmp_path: Path) -> None:
    """A device file, and no driver that torch gets on with."""
    (tmp_path / "nvidia0").touch()
    env = {"VENV": sys.prefix, "DEVICES": str(tmp_path), "FORCE_COLOR": "1"}
    result = run(ROOT / "scripts" / "doctor.sh", env=env)
    assert result.returncode == 2
    red = [line for line in result.stdout.splitlines() if "\x1b[31m" in line and "CUDA devices" in line]
    assert len(red) == 1 and "BROKEN" in red[0]
    assert f"{tmp_path}/nvidia0: a GPU that CUDA cannot use (" in red[0] and "is built for CUDA" in red[0]


def test_broken_and_unfit_pythons_are_passed_over(checkout: Path, bare_path: Path) -> None:
    """A pyenv shim exists but fails; a too new Python runs but is not taken; both are named if nothing is left."""
    shim = bare_path / "python3.12"
    shim.write_text("#!/bin/sh\necho 'pyenv: python3.12: command not found' >&2\nexit 127\n")
    shim.chmod(0o755)
    script = '. scripts/lib.sh; find_missing; echo "$PY_VERSION|$MISSING|$PY_SEEN"'
    env = {"PATH": str(bare_path)}
    version, missing, seen = run("bash", "-c", script, cwd=checkout, env=env).stdout.strip().split("|")
    assert version == "{}.{}.{}".format(*sys.version_info[:3])
    assert "python" not in missing.split()
    assert seen == "python3.12 (does not run)"

    new = bare_path / "python3"
    new.write_text("#!/bin/sh\necho 3.13.1 0 1 1 /usr/bin/python3\n")
    version, missing, seen = run("bash", "-c", script, cwd=checkout, env=env).stdout.strip().split("|")
    assert version == "" and "python" in missing.split()
    assert seen.endswith("python3 (is 3.13.1)")
    told = run("bash", "scripts/setup.sh", cwd=checkout, env=env)
    assert told.returncode == 2
    assert "3.13.1" in told.stderr and "uv python install 3.12" in told.stderr

    chosen = run("bash", "scripts/setup.sh", cwd=checkout, env={"PYTHON": "/no/such/python"})
    assert chosen.returncode == 2 and "/no/such/python" in chosen.stderr


def test_make_shows_the_quickstart_commands() -> None:
    result = run("make", "-n", "quickstart")
    assert result.returncode == 0, result.stderr
    pair = "runs/quickstart/digits/fixmatch/1/0-* runs/quickstart/digits/fixmatch-calibratemix/1/0-*"
    expected = [
        ".venv/bin/python dataprep/make_beton.py digits --out data",
        ".venv/bin/python slurm/submit.py --grid configs/quickstart.yaml --cluster local --cpus-per-task 1",
        ".venv/bin/python slurm/collect.py --grid configs/quickstart.yaml",
        f".venv/bin/python pipeline/compare.py {pair} --plot runs/quickstart/reliability.png",
        f".venv/bin/python pipeline/evaluate.py {pair} --out runs/quickstart/report",
    ]
    lines = result.stdout.splitlines()
    assert [line for line in lines if line.startswith(".venv/bin/")] == expected


def test_make_test_with_arguments_starts_the_tests_at_once() -> None:
    """Lint, SLURM for the tests, four processes; all tests in CI alone. With ARGS only the set-up precedes pytest."""
    chosen = run("make", "-n", "test", "ARGS=-k name -x").stdout.splitlines()
    assert chosen == ["scripts/setup.sh", ".venv/bin/python -m pytest -k name -x"]
    targets = ("test", "ALL=1"), ("test", "CI=true"), ("test", "CI="), ("check",)
    whole, ci, usual, fast = (run("make", "-n", *target).stdout.splitlines() for target in targets)
    lint = ["scripts/setup.sh", ".venv/bin/ruff check", ".venv/bin/ruff format --check", ".venv/bin/mypy"]
    tests = ".venv/bin/python -m pytest -n 4 --dist loadgroup"
    assert (
        [line.rstrip() for line in whole] == [line.rstrip() for line in ci] == [*lint, "scripts/setup.sh tests", tests]
    )
    assert usual == [*lint, "scripts/setup.sh tests", f'{tests} -m "not long"']
    assert fast == [*lint, f'{tests} -m "not slow"']


def test_make_gpu_check_passes_the_variable_on() -> None:
    commands = [run("make", "-n", "gpu-check", *more).stdout.splitlines()[-1] for more in ([], ["PRETEND=1"])]
    assert [command.split() for command in commands] == [
        [".venv/bin/python", "benchmarks/check_gpu.py"],
        [".venv/bin/python", "benchmarks/check_gpu.py", "--pretend"],
    ]


def test_make_help_is_the_default_and_lists_the_targets() -> None:
    text = run("make").stdout
    names = ("quickstart", "test", "check", "gpu-check", "doctor", "setup", "lint", "clean", "help")
    assert all(f"make {name} " in text for name in names)


def test_clean_spares_data_and_runs(checkout: Path) -> None:
    kept = [checkout / name / "__pycache__" / "file" for name in ("data", "runs", ".venv")]
    gone = [checkout / name / "file" for name in ("pipeline/__pycache__", ".mypy_cache", "calibratemix.egg-info")]
    for path in kept + gone:
        path.parent.mkdir(parents=True)
        path.touch()
    result = run("make", "clean", cwd=checkout)
    assert result.returncode == 0, result.stderr
    assert all(path.exists() for path in kept)
    assert not any(path.exists() for path in gone)
