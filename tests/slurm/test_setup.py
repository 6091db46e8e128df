"""The SLURM of the tests: make test installs it, its absence is loud, and in CI an error; nothing else asks for it."""

from pathlib import Path

import pytest

from tests.support import minislurm
from tests.test_setup import ROOT, bare_path, checkout, finished, run

__all__ = ["bare_path", "checkout", "finished"]  # fixtures


@pytest.mark.parametrize(("ci", "code"), [("", 0), ("true", 2)])
def test_without_slurm_and_without_apt(ci: str, code: int, finished: Path, bare_path: Path) -> None:
    env = {"PATH": str(bare_path), "CI": ci}
    # where this machine has it, the daemons lie outside of PATH, in /usr/sbin
    told = run(
        "bash", "-c", "sed -i 's,:/usr/sbin:/sbin,,' scripts/lib.sh; scripts/setup.sh tests", cwd=finished, env=env
    )
    assert (told.returncode, told.stdout) == (code, "")
    assert "NO SLURM ON THIS MACHINE (munged slurmctld slurmd sbatch missing)" in told.stderr
    assert "NOT BE TESTED" in told.stderr and "apt-get install" in told.stderr
    assert run("bash", "scripts/setup.sh", cwd=finished, env=env).stderr == ""  # of no concern to anything else


def test_make_test_asks_for_it_and_the_quickstart_does_not() -> None:
    assert "scripts/setup.sh tests" in run("make", "-n", "test").stdout
    assert "setup.sh tests" not in run("make", "-n", "quickstart").stdout


def test_the_set_up_and_the_fixture_look_for_the_same_programs() -> None:
    seen = run("bash", "-c", ". scripts/lib.sh; missing_slurm", cwd=ROOT).stdout.split()
    assert bool(seen) == bool(minislurm.missing())
