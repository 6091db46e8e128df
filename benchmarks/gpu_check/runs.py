"""Trainings that a check starts, as a user would, and what is read from their run folders."""

import json
import math
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
LOSSES = ("loss_labelled", "loss_unlabelled", "loss_mix", "mask_rate")


class Failed(Exception):
    """Why a check does not pass, in one line."""


@dataclass(frozen=True)
class Place:
    """Where checks work: a folder of their own, on ``gpus`` GPUs; 0: pretended, on the CPU with small sizes."""

    scratch: Path
    gpus: int

    def size(self, on_gpu: Any, pretended: Any) -> Any:
        """The first on GPUs, the second without."""
        return on_gpu if self.gpus else pretended

    def environment(self, **more: str) -> dict[str, str]:
        """Of a child; without a GPU none is visible to it."""
        return {**os.environ, **({} if self.gpus else {"CUDA_VISIBLE_DEVICES": ""}), **more}

    def digits(self) -> list[str]:
        """The options that choose the digits, which are made on first use."""
        if not (self.scratch / "data/digits").exists():
            run([sys.executable, "dataprep/make_beton.py", "digits", "--out", str(self.scratch / "data")], self, "data")
        return [f"data={self.scratch / 'data'}"]


@contextmanager
def started(command: Sequence[str], place: Place, name: str, **environment: str) -> Iterator["subprocess.Popen[bytes]"]:
    """A child whose output goes to NAME.log; it does not outlive the block."""
    with (place.scratch / f"{name}.log").open("ab") as log:
        process = subprocess.Popen(
            list(command), cwd=ROOT, env=place.environment(**environment), stdout=log, stderr=log, stdin=-3
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def finish(process: "subprocess.Popen[bytes]", place: Place, name: str) -> None:
    """Waits; raises Failed with the last line of the log where the child failed."""
    if code := process.wait():
        said = [line for line in (place.scratch / f"{name}.log").read_text(errors="replace").splitlines() if line]
        raise Failed(f"{name}: exit code {code}: {said[-1] if said else 'no message'}")


def run(command: Sequence[str], place: Place, name: str, **environment: str) -> None:
    """A child from start to end."""
    with started(command, place, name, **environment) as process:
        finish(process, place, name)


def command(place: Place, name: str, sets: Sequence[str]) -> list[str]:
    """A training of the digits in the run folder NAME."""
    given = [*place.digits(), f"out={place.scratch / name}", *sets]
    return [sys.executable, "pipeline/train.py", "--config", "configs/digits.yaml", "--set", *given]


def train(place: Place, name: str, sets: Sequence[str], **environment: str) -> Path:
    """Trains; the run folder."""
    run(command(place, name, sets), place, name, **environment)
    return place.scratch / name


def train_on_two_ranks(place: Place, name: str, sets: Sequence[str]) -> Path:
    """Trains on two GPUs by torchrun, or on the only one; on the CPU where there is none. The run folder."""
    if place.gpus != 1:
        launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
        python, *arguments = command(place, name, sets)
        run([python, *launcher, *arguments], place, name)
        return place.scratch / name
    with ExitStack() as both:
        processes = [
            both.enter_context(started(command(place, name, sets), place, f"{name}-rank{rank}", **environment))
            for rank, environment in enumerate(_hosts_of_their_own())
        ]
        for rank, process in enumerate(processes):
            finish(process, place, f"{name}-rank{rank}")
    return place.scratch / name


def _hosts_of_their_own() -> list[dict[str, str]]:
    """NCCL refuses two ranks of one host on one GPU: each claims to be alone on a host, reached by the loopback."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        common = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(probe.getsockname()[1]), "WORLD_SIZE": "2"}
    network = {"NCCL_SOCKET_IFNAME": "lo", "GLOO_SOCKET_IFNAME": "lo", "NCCL_IB_DISABLE": "1"}
    alone = {"LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1"}
    return [common | network | alone | {"RANK": str(rank), "NCCL_HOSTID": f"rank{rank}"} for rank in range(2)]


def lines(folder: Path) -> dict[int, dict[str, float]]:
    """The training lines of a run by step; a half-written last one is left out."""
    file = folder / "metrics.jsonl"
    found = {}
    for text in file.read_text().splitlines() if file.exists() else ():
        try:
            line = json.loads(text)
        except json.JSONDecodeError:
            continue
        if "loss_labelled" in line:
            found[line["step"]] = line
    return found


def largest_difference(one: Path, other: Path, names: Sequence[str] = LOSSES) -> float:
    """Of the loss terms of two runs, over all steps. Raises Failed where their steps differ or nothing was mixed."""
    a, b = lines(one), lines(other)
    if not a or a.keys() != b.keys():
        raise Failed(f"{one.name} has {len(a)} training lines, {other.name} {len(b)}")
    if not any(line["loss_mix"] for line in a.values()):
        raise Failed(f"{one.name} never mixed")
    differences = [abs(a[step][name] - b[step][name]) for step in a for name in names]
    return max(differences, key=lambda found: (math.isnan(found), found))


def wait_for(condition: Callable[[], bool], process: "subprocess.Popen[bytes]") -> bool:
    """Until it holds; False where the process ended before."""
    while not condition():
        if process.poll() is not None:
            return False
        time.sleep(0.02)
    return True
