"""What checks read from run folders and what children they leave."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from gpu_check import runs
from gpu_check.correct import same, verdict
from gpu_check.runs import Failed, Place

from tests.support.launch import gone, wait_for


def metrics(folder: Path, *losses: float, mixed: float = 1.0) -> Path:
    folder.mkdir()
    terms = {"loss_unlabelled": 0.5, "loss_mix": mixed, "mask_rate": 1.0}
    lines: list[dict[str, Any]] = [{"step": 3, "error": 12.0}]
    lines += [{"step": step, "loss_labelled": loss, **terms} for step, loss in enumerate(losses)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"step": 9, "lo')
    return folder


def test_the_largest_difference_of_two_runs(tmp_path: Path) -> None:
    one, other = metrics(tmp_path / "one", 1.0, 2.0), metrics(tmp_path / "other", 1.0, 2.25)
    assert runs.largest_difference(one, other) == 0.25
    assert same("pair", one, one, 0) == "pair 0.0e+00"
    with pytest.raises(Failed, match=r"pair: a loss differs by 2\.5e-01, more than 1e-07"):
        same("pair", one, other, 1e-7)


def test_runs_that_cannot_be_compared_fail(tmp_path: Path) -> None:
    one, longer = metrics(tmp_path / "one", 1.0), metrics(tmp_path / "longer", 1.0, 2.0)
    for a, b in ((one, longer), (one, tmp_path / "nothing"), (tmp_path / "nothing", tmp_path / "nothing")):
        with pytest.raises(Failed, match="training lines"):
            runs.largest_difference(a, b)
    with pytest.raises(Failed, match="never mixed"):
        runs.largest_difference(*[metrics(tmp_path / name, 1.0, mixed=0.0) for name in ("a", "b")])


def test_a_difference_that_is_no_number_fails(tmp_path: Path) -> None:
    broken = metrics(tmp_path / "nan", 1.0, float("nan"))
    with pytest.raises(Failed, match="differs by nan"):
        same("pair", broken, broken, 1e-7)


def test_a_child_that_fails_says_why(tmp_path: Path) -> None:
    with pytest.raises(Failed, match=r"child: exit code 3: the reason"):
        runs.run([sys.executable, "-c", "print('the reason'); exit(3)"], Place(tmp_path, 0), "child")


def test_a_child_does_not_outlive_its_check_and_sees_no_gpu_in_pretence(tmp_path: Path) -> None:
    code = "import os, time; print(os.environ['CUDA_VISIBLE_DEVICES'] == '', flush=True); time.sleep(60)"
    log = tmp_path / "child.log"
    with pytest.raises(KeyError), runs.started([sys.executable, "-c", code], Place(tmp_path, 0), "child") as process:
        wait_for(lambda: log.read_text() == "True\n")
        raise KeyError
    assert gone([process.pid])
    assert Place(tmp_path, 1).environment().get("CUDA_VISIBLE_DEVICES") == os.environ.get("CUDA_VISIBLE_DEVICES")


def test_two_ranks_of_one_gpu_claim_hosts_of_their_own() -> None:
    one, other = runs._hosts_of_their_own()
    assert one["NCCL_HOSTID"] != other["NCCL_HOSTID"] and (one["RANK"], other["RANK"]) == ("0", "1")
    assert one["LOCAL_RANK"] == other["LOCAL_RANK"] == "0" and one["MASTER_PORT"] == other["MASTER_PORT"]


def test_the_first_of_many_failures_is_named() -> None:
    assert verdict(3, [], "never wait") == ["3 never wait"]
    with pytest.raises(Failed, match="2 of 3 fail, the first: mix=all: DeviceWait"):
        verdict(3, ["mix=all: DeviceWait", "mix=none: DeviceWait"], "never wait")
