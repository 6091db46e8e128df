"""Ten whole steps of every method against a slow reference written from the formulas.

Fixed weights, batches and draws, float64; tests/support/reference.py is the reference.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pipeline import config
from pipeline.config.options import Config
from pipeline.data.dataset import open_dataset
from pipeline.distributed import Ranks
from pipeline.runs.folder import RunFolder
from pipeline.training import loop
from pipeline.training.training_run import TrainingRun
from tests.support.ranks import alone
from tests.support.reference import Reference

STEPS, WARMUP = 10, 3
SMALL = (
    "dataset=digits", "model.name=wrn-10-1", "model.norm_momentum=0.1", f"steps={STEPS}", f"warmup_steps={WARMUP}",
    "batch.labelled=8", "batch.ratio=2", "precision=fp64", "log_every=1", "threads=1", "ema.decay=0.9",
    "unlabelled.threshold=0.15", "eval_batch=64", "softmatch.momentum=0.9", "optimizer.lr=0.1",
)  # fmt: skip


def settings(data: Path, out: Path, *sets: str) -> Config:
    mixing = [] if "recipe=release" in sets else ["mixing.k_percent=20"]
    return config.load(None, [*SMALL, *mixing, f"data={data}", f"out={out}", *sets])


def ten_steps(ranks: Ranks, given: Config) -> tuple[TrainingRun, Reference, list[dict[str, float]]]:
    dataset = open_dataset(given)
    fresh = TrainingRun(given, dataset, ranks, 1)
    reference = Reference(fresh)
    terms = [reference.step(inputs) for inputs in fresh.inputs()]
    return loop.train(given, dataset, ranks, RunFolder(given)), reference, terms


RELEASE = "recipe=release mixing.k_count=3"
METHODS = [
    "algorithm=fixmatch mix=calibratemix",
    "algorithm=supervised mix=none label_smoothing=.1",
]
MORE = [
    "algorithm=softmatch mix=calibratemix label_smoothing=.1",
    f"algorithm=softmatch mix=calibratemix {RELEASE}",
    "algorithm=fixmatch mix=none",
    "algorithm=fixmatch mix=random",
    "algorithm=fixmatch mix=calibratemix forward=observe",
    "algorithm=fixmatch mix=calibratemix mixing.second_pass=joint",
    "algorithm=flexmatch mix=none label_smoothing=.1",
    "algorithm=flexmatch mix=calibratemix",
    "algorithm=flexmatch mix=all",
    "algorithm=softmatch mix=none",
    "algorithm=softmatch mix=all",
    "algorithm=supervised mix=calibratemix",
    "algorithm=supervised mix=random",
]


@pytest.mark.parametrize("sets", [*METHODS, *(pytest.param(more, marks=pytest.mark.slow) for more in MORE)])
def test_ten_steps_equal_the_formulas(sets: str, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    given = settings(data, out, *sets.split())
    run, reference, terms = alone(ten_steps, given)
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    lines = [line for line in lines if "loss" in line]
    for line, expected in zip(lines, terms, strict=True):
        assert {name: line[name] for name in expected} == pytest.approx(expected, abs=1e-6), line["step"]
    for ours, theirs in ((run.model, reference.model), (run.ema.module, reference.average)):
        for (name, got), wanted in zip(ours.state_dict().items(), theirs.state_dict().values(), strict=True):
            torch.testing.assert_close(got, wanted, atol=1e-6, rtol=1e-6, msg=lambda m, n=name: f"{n}: {m}")
    _states_agree(run, reference)
    assert any(term["mask_rate"] > 0 for term in terms) or given.algorithm == "supervised"
    assert all((term["loss_mix"] > 0) == (given.mix != "none" and i >= WARMUP) for i, term in enumerate(terms))


def _states_agree(run: TrainingRun, reference: Reference) -> None:
    algorithm: Any = run.algorithm
    if run.config.algorithm == "flexmatch":
        np.testing.assert_allclose(algorithm.learnt(), reference.beta)
        rows = {s: run.shards.row_of(np.array([s]), 0, 1)[0] for s in reference.selected}
        assert {s: int(algorithm.selected[r]) for s, r in rows.items()} == reference.selected
    if run.config.algorithm == "softmatch":
        for got, expected in zip(
            (algorithm.p_model, algorithm.mean, algorithm.variance),
            (reference.p_model, reference.mean, reference.variance),
            strict=True,
        ):
            np.testing.assert_allclose(got, expected, atol=1e-6)
    if run.config.mix not in ("calibratemix", "all"):
        return
    difficulty: Any = run.mix.difficulty  # type: ignore[attr-defined]
    for sample, margins in reference.margins.items():
        row = torch.from_numpy(run.sources["labelled"].order.rows_of(np.array([sample])))
        assert float(difficulty.aum.values(row)) == pytest.approx(np.mean(margins), abs=1e-6)
    for sample, expected in reference.apm.items():
        row = int(run.shards.row_of(np.array([sample]), 0, 1)[0])
        np.testing.assert_allclose(difficulty.apm.table[row], expected, atol=1e-6)
        assert difficulty.apm.visits[row] == reference.visits[sample]
