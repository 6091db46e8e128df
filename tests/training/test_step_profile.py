"""``profile: true`` and ``compile``: what they write, and that the run stays the run."""

import json
from pathlib import Path

import pytest
import torch

from pipeline import train
from pipeline.training.launch import check_compiler
from pipeline.training.step_profile import PHASES, TIMED, TRACED, WARM_UP
from tests.support.launch import digits, lines, result

SETS = ("mix=calibratemix", "model.name=wrn-10-1", "batch.labelled=4", "eval_every=1000", "checkpoint_every=1000")


@pytest.mark.slow
def test_a_profiled_run(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    steps = f"steps={WARM_UP + TIMED + TRACED + 3}"
    for name, profile in (("plain", "false"), ("profiled", "true")):
        given = digits(data, tmp_path / name, *SETS, steps, "warmup_steps=1", f"profile={profile}")
        assert train.main(given) == 0
    assert lines(tmp_path / "plain") == lines(tmp_path / "profiled")
    assert result(tmp_path / "plain") == result(tmp_path / "profiled")
    assert not (tmp_path / "plain/profile").exists()

    seen = json.loads((tmp_path / "profiled/profile/steps.json").read_text())
    assert seen["steps"] == TIMED
    assert all(seen[phase] > 0 for phase in PHASES)
    assert sum(seen[phase] for phase in PHASES) == pytest.approx(seen["seconds_per_step"])
    assert seen["learn"] > seen["observe"] > seen["EMA"]
    trace = json.loads((tmp_path / "profiled/profile/trace.json").read_text())
    names = [event.get("name") for event in trace["traceEvents"] if event.get("cat") == "user_annotation"]
    assert names.count("## learn") == names.count("## observe") == TRACED
    printed = capsys.readouterr().out
    assert all(phase in printed for phase in PHASES)
    assert "warmup_steps=0" not in printed


def test_before_the_warm_up_it_says_so(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    steps = f"steps={WARM_UP + TIMED + TRACED + 1}"
    assert train.main(digits(data, tmp_path / "run", *SETS, steps, "warmup_steps=33", "profile=true")) == 0
    assert "no images are mixed before step 33" in capsys.readouterr().out


def test_no_compiler(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", str(tmp_path))
        assert train.main(digits(data, tmp_path / "run", *SETS, "compile=default")) == 2
        for variable in ("CC", "CXX"):
            patch.delenv(variable, raising=False)
        with pytest.raises(ValueError, match="compile=default: needs gcc or clang; install one"):
            check_compiler("default", "cuda")
    assert "compile=default: needs g++ or clang++; install one" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_compiled_run_is_the_same_run(data: Path, tmp_path: Path) -> None:
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    short = ("steps=2", "warmup_steps=0", "precision=fp64", "eval_every=2")
    for mode in ("null", "default"):
        assert train.main(digits(data, tmp_path / mode, *SETS, *short, f"compile={mode}")) == 0
    for eager, compiled in zip(lines(tmp_path / "null"), lines(tmp_path / "default"), strict=True):
        if "loss" in eager:
            assert compiled["loss"] == pytest.approx(eager["loss"], rel=1e-9)
            assert compiled["loss_mix"] == pytest.approx(eager["loss_mix"], rel=1e-9)
    counters = torch._dynamo.utils.counters
    assert counters["stats"]["unique_graphs"] == 2  # observe, learn
    assert not counters["graph_break"]
