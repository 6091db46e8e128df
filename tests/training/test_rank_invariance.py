"""The same run on 1, 2 and 4 ranks, and across a change of ranks: batches, pairs, lambda, losses.

float64, so that rounding flips no rank and no threshold; and few steps, because with batch norm over so few images
rounding grows on one rank too (from 1e-15 to 6e-10 in 50 steps).
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pipeline.distributed import Ranks
from tests.support.ranks import alone, on_ranks
from tests.support.recorder import Recorder

STEPS, SINGLE_STEPS = 12, 5  # in float64, in float32
ALGORITHMS = ("fixmatch", "flexmatch", "softmatch")
TERMS = ("loss", "loss_labelled", "loss_unlabelled", "loss_mix", "mask_rate")
STOPS = {2: 5, 1: 9, 4: STEPS}  # the run that changes hands: ranks, and the step at which one of them is signalled
UNDISTURBED = "flexmatch"  # what it is compared with
SMALL = (
    "dataset=digits", "labels=4", f"steps={STEPS + 1}", "model.name=wrn-10-1", "mix=calibratemix",
    "warmup_steps=0", "batch.labelled=4", "batch.ratio=3", "unlabelled.threshold=0.2",
    "unlabelled.threshold_warmup=false", "ema.decay=0.9", "threads=1",
    "log_every=1", "eval_every=1000", "checkpoint_every=1000",
)  # fmt: skip


def all_runs(ranks: Ranks, data: Path, out: Path) -> dict[str, list[dict[str, Any]]]:
    """What one number of ranks has to do; files go to ``out``."""
    mine = out / str(ranks.world)
    runs = {}
    for name in algorithms(ranks.world):
        sets = SMALL, "precision=fp64", f"algorithm={name}", f"data={data}", f"out={mine / name}"
        runs[name] = recorded(ranks, *sets, stop_at=STEPS)
    # At the rate .03 of a real run rounding grows a hundredfold within these five steps.
    single = "precision=fp32", "model.norm=group", "optimizer.lr=0.003"
    runs["fp32"] = recorded(ranks, SMALL, *single, f"data={data}", f"out={mine / 'fp32'}", stop_at=SINGLE_STEPS)
    sets = SMALL, "precision=fp64", f"algorithm={UNDISTURBED}", f"data={data}", f"out={out / 'relay'}"
    runs["relay"] = recorded(ranks, *sets, stop_at=STOPS[ranks.world])
    return runs


def algorithms(world: int) -> tuple[str, ...]:
    """Four ranks on two cores wait for each other in every layer, so they run one."""
    return ALGORITHMS if world <= 2 else (UNDISTURBED,)


def recorded(ranks: Ranks, base: tuple[str, ...], *sets: str, stop_at: int) -> list[dict[str, Any]]:
    """Interrupted there: an evaluation in the end would cost more than the steps."""
    recorder = Recorder(stop_at)
    recorder.train(ranks, (*base, *sets))
    assert recorder.run is not None and recorder.run.progress.step == stop_at
    return recorder.steps


def lines(run: Path) -> list[dict[str, float]]:
    parsed = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{name: line[name] for name in TERMS} for line in parsed if "loss" in line]


def together(ranks: list[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """The global batch: all ranks know all of it but the unlabelled images, of which each has its own."""
    steps = [dict(first) for first in ranks[0]]
    for step, parts in enumerate(zip(*ranks, strict=True)):
        steps[step]["unlabelled"] = np.concatenate([part["unlabelled"] for part in parts])
        for part in parts[1:]:
            assert all(np.array_equal(part[name], steps[step][name]) for name in part if name != "unlabelled")
    return steps


def largest(one: Path, other: Path, steps: int) -> float:
    """Largest difference of a loss term, relative to terms above 1."""
    a, b = lines(one)[:steps], lines(other)
    assert len(a) == len(b) == steps
    return max(abs(x[t] - y[t]) / max(1, abs(x[t])) for x, y in zip(a, b, strict=True) for t in TERMS)


@pytest.mark.slow
@pytest.mark.xdist_group("ranks")
def test_the_number_of_ranks_changes_nothing(data: Path, tmp_path: Path) -> None:
    two = on_ranks(2, all_runs, data, tmp_path)
    status = json.loads((tmp_path / "relay/status.json").read_text())
    assert (status["state"], status["step"]) == ("preempted", STOPS[2])
    torch.set_num_threads(1)
    one = [alone(all_runs, data, tmp_path)]
    assert json.loads((tmp_path / "relay/status.json").read_text())["step"] == STOPS[1]
    four = on_ranks(4, all_runs, data, tmp_path)

    for ranks in (two, four):
        for name in (*algorithms(len(ranks)), "fp32"):
            steps, bound = (SINGLE_STEPS, 1e-5) if name == "fp32" else (STEPS, 1e-9)
            batches, expected = together([rank[name] for rank in ranks]), together([one[0][name]])[:steps]
            assert len(batches) == steps
            for got, wanted in zip(batches, expected, strict=True):
                assert all(np.array_equal(got[key], wanted[key]) for key in wanted), name
            difference = largest(tmp_path / "1" / name, tmp_path / str(len(ranks)) / name, steps)
            print(
                f"{name}, {len(ranks)} ranks and 1, {steps} steps: largest difference of a loss term {difference:.1e}"
            )
            assert difference < bound
    relay = together([rank["relay"] for rank in two]) + one[0]["relay"] + together([rank["relay"] for rank in four])
    for got, wanted in zip(relay, one[0][UNDISTURBED], strict=True):
        assert all(np.array_equal(got[key], wanted[key]) for key in wanted)
    difference = largest(tmp_path / "1" / UNDISTURBED, tmp_path / "relay", STEPS)
    print(f"2 -> 1 -> 4 ranks: largest difference of a loss term {difference:.1e}")
    assert difference < 1e-9
    masks = {name: {line["mask_rate"] for line in lines(tmp_path / "1" / name)} for name in ("fixmatch", "flexmatch")}
    assert all(len(rates) > 2 for rates in masks.values()), masks  # thresholds were at work
