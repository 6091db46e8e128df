"""The command: a row a check, its verdicts and exit codes, also on a machine without a GPU."""

import sys
import time
from typing import Any

import check_gpu
import pytest
from gpu_check.runs import Failed, Place


def command(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["check_gpu.py", *arguments])
    return check_gpu.main()


def failing(place: Place) -> list[str]:
    raise Failed("a loss differs by 1e-3")


def crashing(place: Place) -> list[str]:
    raise RuntimeError("CUDA error")


def endless(place: Place) -> list[str]:
    time.sleep(60)
    return []


def with_checks(monkeypatch: pytest.MonkeyPatch, **checks: Any) -> None:
    monkeypatch.setattr(check_gpu, "CHECKS", {name: (name, check) for name, check in checks.items()})


def test_without_a_gpu_one_line_and_exit_code_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("gpu_check.machine.usable_gpus", lambda: 0)
    assert command(monkeypatch) == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("\n") == 1 and "no GPU" in said.err and "PRETEND=1" in said.err


def test_a_row_a_check_and_the_next_follows_a_failure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with_checks(monkeypatch, bad=failing, broken=crashing, good=lambda place: ["12 steps/s", "1 GiB"])
    assert command(monkeypatch, "--pretend") == 1
    bad, broken, good, summary = capsys.readouterr().out.splitlines()
    assert bad.startswith("FAIL  bad") and "1e-3" in bad
    assert broken.startswith("FAIL  broken") and "RuntimeError: CUDA error" in broken
    assert good.startswith("PASS  good") and good.endswith("12 steps/s; 1 GiB")
    assert summary.startswith("1 of 3 checks pass")
    assert command(monkeypatch, "--pretend", "--only", "good") == 0


def test_a_check_that_hangs_is_a_failure_and_time_runs_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with_checks(monkeypatch, slow=endless, late=failing)
    monkeypatch.setattr("gpu_check.machine.usable_gpus", lambda: 1)
    assert command(monkeypatch, "--minutes", "0.02") == 1
    slow, late, _ = capsys.readouterr().out.splitlines()
    assert slow.startswith("FAIL  slow") and "not done within 1 s" in slow
    assert late.startswith("SKIP  late") and "--only late" in late


def test_the_machine_is_described(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The checks that train take minutes: `make gpu-check PRETEND=1` runs them."""
    assert command(monkeypatch, "--pretend", "--only", "machine") == 0
    out = capsys.readouterr().out
    assert "PASS  devices" in out and "torch " in out
