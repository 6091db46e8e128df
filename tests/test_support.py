"""What the tests stand on: the team of ranks."""

import os
import signal
from pathlib import Path

import pytest

from pipeline import distributed
from pipeline.distributed import Ranks
from tests.support.ranks import on_ranks
from tests.support.team import RankError, Team

pytestmark = pytest.mark.xdist_group("ranks")


def pids(ranks: Ranks) -> list[int]:
    return distributed.gather_objects(os.getpid())


def fail(ranks: Ranks, how: str) -> None:
    if ranks.rank == 1:
        if how == "raises":
            raise ArithmeticError("no luck")
        os.kill(os.getpid(), signal.SIGKILL)
    distributed.barrier()  # for ever


def where(ranks: Ranks) -> tuple[str | None, Path]:
    os.write(1, f"rank {ranks.rank} speaks\n".encode())  # at once: print writes the end of the line on its own
    os.write(2, f"rank {ranks.rank} warns\n".encode())
    os.environ["LEFT_BEHIND"] = "yes"
    return os.environ.get("GIVEN"), Path.cwd()


def alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def test_the_processes_stay_and_later_ranks_join_them() -> None:
    two, four = on_ranks(2, pids), on_ranks(4, pids)
    assert two[0] == two[1] == four[3][:2] and len(set(four[0])) == 4
    assert on_ranks(1, pids) == [two[0][:1]]


def test_a_job_fails_alone() -> None:
    """Also where the other rank waits for the failed one for ever."""
    team = Team()
    seen = team.run(2, pids, ())[0]
    said = {"raises": "rank 1 raised:\nTraceback(.|\n)*ArithmeticError: no luck", "dies": "exit code -9"}
    for how, message in said.items():
        with pytest.raises(RankError, match=message):
            team.run(2, fail, (how,))
        assert not any(alive(pid) for pid in seen)
        if how == "raises":
            seen = team.run(2, pids, ())[0]


def test_a_job_has_the_tests_surroundings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GIVEN", "that")
    monkeypatch.chdir(tmp_path)
    assert on_ranks(2, where) == [("that", tmp_path)] * 2
    said = capfd.readouterr()
    assert sorted(said.out.splitlines()) == ["rank 0 speaks", "rank 1 speaks"]
    assert sorted(said.err.splitlines()) == ["rank 0 warns", "rank 1 warns"]
    monkeypatch.undo()
    assert on_ranks(2, where) == [(None, Path.cwd())] * 2
