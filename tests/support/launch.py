"""Starts the trainer as a user does, under torchrun, and watches it from outside."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
VARYING = {"images_per_second", "seconds"}
PATIENCE = 600  # seconds after which something is taken for hung, on cores that others use too
SMALL = (
    "dataset=digits", "labels=4", "model.name=wrn-10-1", "mix=calibratemix", "warmup_steps=2", "batch.labelled=8",
    "batch.ratio=3", "precision=fp32", "unlabelled.threshold=0.3", "ema.decay=0.9", "ema.buffers=average", "threads=1",
    "log_every=1", "eval_every=1000", "checkpoint_every=1000", "eval_batch=64",
)  # fmt: skip
FEW = (
    "steps=12", "log_every=1", "eval_every=6", "checkpoint_every=4", "threads=1", "batch.labelled=8", "eval_batch=64",
)  # fmt: skip


def small(*sets: str) -> list[str]:
    """Arguments of train.py for a small run; ``sets`` hold over the small options."""
    return ["--set", *SMALL, *sets]


def digits(data: Path, out: Path, *sets: str) -> list[str]:
    """Arguments of train.py for the shipped config in a few steps."""
    return ["--config", str(ROOT / "configs/digits.yaml"), "--set", f"data={data}", f"out={out}", *FEW, *sets]


def torchrun(
    ranks: int, given: list[str], *options: str, script: Path = ROOT / "pipeline/train.py"
) -> "subprocess.Popen[str]":
    """train.py with the arguments ``given``; ``options`` go to torchrun; its output can be read from the process."""
    where = options or ("--standalone",)
    command = [sys.executable, "-m", "torch.distributed.run", *where, f"--nproc_per_node={ranks}", str(script), *given]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def children(pid: int) -> list[int]:
    """Processes whose parent is ``pid``, oldest first: of torchrun the ranks."""
    found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True)
    return sorted(int(child) for child in found.stdout.split())


def gone(pids: list[int]) -> bool:
    """None of the processes runs."""
    states = subprocess.run(["ps", "-o", "stat=", "-p", ",".join(map(str, pids))], capture_output=True, text=True)
    return all(state.startswith("Z") for state in states.stdout.split())


def wait_for(condition: Callable[[], bool], seconds: float = PATIENCE) -> None:
    """Polls until it holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.05)


def lines(out: Path) -> list[dict[str, Any]]:
    """metrics.jsonl without what may differ from run to run."""
    file = out / "metrics.jsonl"
    parsed = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    return [{k: v for k, v in line.items() if k not in VARYING} for line in parsed]


def result(out: Path) -> dict[str, Any]:
    """result.json without what may differ from run to run."""
    return {k: v for k, v in json.loads((out / "result.json").read_text()).items() if k not in VARYING}


def status(out: Path) -> dict[str, Any]:
    """status.json; empty while there is none."""
    file = out / "status.json"
    return dict(json.loads(file.read_text())) if file.exists() else {}
