"""CUDA is told to watch from a step on, and no longer once the run is left."""

import json
import sys
from pathlib import Path

import pytest
import torch
from gpu_check import waits_side

from pipeline import config


def test_every_case_is_a_run() -> None:
    cases = waits_side.cases()
    assert ["algorithm=softmatch", "mix=all"] in cases and ["mix=calibratemix", "precision=fp16"] in cases
    for sets in cases:
        config.load(None, [*waits_side.DIGITS, *waits_side.QUIET, *sets])


@pytest.mark.slow
def test_cuda_watches_in_the_middle_of_a_run(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(torch.cuda, "set_sync_debug_mode", told.append)
    monkeypatch.setattr(waits_side, "cases", lambda: [["batch.labelled=4", "threads=1"], ["precision=tf32"]])
    monkeypatch.setattr(sys, "argv", ["waits_side.py", f"data={data}", str(tmp_path / "waits.json")])
    waits_side.main()
    fine, refused = json.loads((tmp_path / "waits.json").read_text()).values()
    assert fine == "" and "tf32" in refused, "a case that fails does not keep the others from running"
    assert told == ["error", "default"]
