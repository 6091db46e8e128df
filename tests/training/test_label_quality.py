"""Impurity and mask rate, against a loop; hidden labels reach the log and nothing else."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pipeline import config
from pipeline.data.dataset import open_dataset
from pipeline.distributed import Ranks
from pipeline.methods.protocols import PseudoLabels
from pipeline.runs.folder import RunFolder
from pipeline.training import loop
from pipeline.training.label_quality import LabelQuality, summary, summary_by_class
from tests.support.ranks import alone


def test_sums_equal_a_loop() -> None:
    hidden = torch.tensor([0, 1, 2, -1, 1, 0])
    quality = LabelQuality(hidden, 4)
    random = torch.Generator().manual_seed(0)
    seen = []
    for _ in range(3):
        rows, label = torch.randint(0, 6, (5,), generator=random), torch.randint(0, 3, (5,), generator=random)
        weight = torch.rand(5, generator=random, dtype=torch.float64)
        quality.add(rows, PseudoLabels(label, weight))
        seen += list(zip(rows.tolist(), label.tolist(), weight.tolist(), strict=True))
    known = [(hidden[r].item(), c, w) for r, c, w in seen if hidden[r] >= 0]
    wrong = sum(w for truth, c, w in known if truth != c)
    np.testing.assert_allclose(summary(quality.since_line)["impurity"], wrong / sum(w for *_, w in known))
    by_class: dict[str, Any] = summary_by_class(quality.by_class)
    for c in range(3):
        mine = [w for _, label, w in seen if label == c]
        np.testing.assert_allclose(by_class["mask_rate_per_class"][c], sum(mine) / len(mine))
        used = [(truth, w) for truth, label, w in known if label == c]
        expected = sum(w for truth, w in used if truth != c) / sum(w for _, w in used)
        np.testing.assert_allclose(by_class["impurity_per_class"][c], expected)
    assert by_class["mask_rate_per_class"][3] is by_class["impurity_per_class"][3] is None


def test_nothing_used_has_no_impurity() -> None:
    quality = LabelQuality(torch.tensor([-1, -1]), 2)
    quality.add(torch.arange(2), PseudoLabels(torch.zeros(2, dtype=torch.int64), torch.ones(2)))
    assert summary(quality.since_line) == {"impurity": None}


def trained(ranks: Ranks, data: Path, out: Path, lie: bool) -> tuple[dict[str, Any], torch.Tensor]:
    sets = ["dataset=digits", f"data={data}", f"out={out}", "model.name=wrn-10-1", "steps=3", "warmup_steps=1"]
    settings = config.load(
        None, [*sets, "mix=calibratemix", "batch.labelled=4", "batch.ratio=2", "threads=1", "unlabelled.threshold=0"]
    )
    dataset = open_dataset(settings)
    if lie:
        dataset = replace(dataset, hidden_labels=(dataset.hidden_labels + 1) % 10)
    run = loop.train(settings, dataset, ranks, RunFolder(settings))
    return run.model.state_dict(), run.quality.hidden


def test_hidden_labels_never_enter_a_step(data: Path, tmp_path: Path) -> None:
    """Other hidden labels: the same weights, another impurity."""
    (honest, truth), (lied, lies) = (alone(trained, data, tmp_path / str(lie), lie) for lie in (False, True))
    assert all(torch.equal(honest[name], value) for name, value in lied.items())
    assert not torch.equal(truth, lies)
    lines = [(tmp_path / str(lie) / "metrics.jsonl").read_text().splitlines() for lie in (False, True)]
    assert ['"impurity"' in line for line in lines[0]] == ['"impurity"' in line for line in lines[1]]
    assert lines[0] != lines[1]


def test_rows_find_their_own_label(data: Path, tmp_path: Path) -> None:
    settings = config.load(None, ["dataset=digits", f"data={data}"])
    dataset = open_dataset(settings)
    _, hidden = alone(trained, data, tmp_path / "run", False)
    assert sorted(hidden[hidden >= 0].tolist()) == sorted(dataset.hidden_labels.tolist())
