"""Ten whole steps of every method against a slow reference written from the formulas.

Fixed weights, batches and draws, float64. The reference keeps dictionaries by sample, loops over rows and updates
weights by the textbook; only the network and the images are shared with the code under test.
"""

import copy
import json
import math
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.stats import beta

from pipeline import config
from pipeline.config.options import Config
from pipeline.data.dataset import open_dataset
from pipeline.distributed import Ranks
from pipeline.randomness import LAMBDA, PARTNER, uniforms
from pipeline.runs.folder import RunFolder
from pipeline.training import loop
from pipeline.training.step import Inputs
from pipeline.training.training_run import TrainingRun
from tests.support.ranks import alone

STEPS, WARMUP, CLASSES = 10, 3, 10
SMALL = (
    "dataset=digits", "model.name=wrn-10-1", "model.norm_momentum=0.1", f"steps={STEPS}", f"warmup_steps={WARMUP}",
    "batch.labelled=8", "batch.ratio=2", "precision=fp64", "log_every=1", "threads=1", "ema.decay=0.9",
    "unlabelled.threshold=0.15", "eval_batch=64", "softmatch.momentum=0.9", "mixing.k_percent=20", "optimizer.lr=0.1",
)  # fmt: skip


def settings(data: Path, out: Path, *sets: str) -> Config:
    return config.load(None, [*SMALL, f"data={data}", f"out={out}", *sets])


class Reference:
    """One rank, FixMatch | FlexMatch | SoftMatch | supervised, with or without CalibrateMix (recipe paper)."""

    def __init__(self, run: TrainingRun) -> None:
        self.config, self.normalise, self.model = run.config, run.numerics.normalise, copy.deepcopy(run.model)
        self.average = copy.deepcopy(run.model)
        self.num_unlabelled = run.shards.num_samples
        self.velocity = {n: torch.zeros_like(p) for n, p in self.model.named_parameters()}
        self.selected: dict[int, int] = {}
        self.beta = [0.0] * CLASSES
        self.p_model: np.ndarray | None = None
        self.mean, self.variance = 1 / CLASSES, 1.0
        self.margins: dict[int, list[float]] = defaultdict(list)
        self.apm: dict[int, np.ndarray] = defaultdict(lambda: np.zeros(CLASSES))
        self.visits: Counter[int] = Counter()

    def step(self, inputs: Inputs) -> dict[str, float]:
        """The loss terms of one step, after which everything has moved."""
        num, supervised = len(inputs.labelled.weak), self.config.algorithm == "supervised"
        z_l = z_u = f_l = f_u = np.zeros((0, CLASSES))
        if not supervised or self.config.mix != "none":
            with torch.no_grad():
                views = torch.cat([inputs.labelled.weak, inputs.unlabelled.weak])
                logits, features = (x.numpy() for x in self.model(self.normalise(views)))
            z_l, z_u, f_l, f_u = logits[:num], logits[num:], features[:num], features[num:]
        who = inputs.unlabelled.index.tolist()
        targets, weights = self.label(z_u, who)
        if self.config.mix != "none":
            self.track(inputs, z_l, z_u, who)
        images, mixed = [inputs.labelled.weak, inputs.unlabelled.strong], None
        batch = self.normalise(torch.cat(images))
        if self.config.mix != "none" and inputs.step >= WARMUP:
            mixed = self.mix(inputs, f_l, f_u, targets, who)
            batch = torch.cat([batch, mixed[0]])
        logits = self.model(batch)[0]
        return self.update(logits, inputs, targets, weights, mixed)

    def label(self, z_u: np.ndarray, who: list[int]) -> tuple[list[int], list[float]]:
        p = np.exp(z_u) / np.exp(z_u).sum(1, keepdims=True)
        targets = p.argmax(1).tolist()
        tops = p.max(1).tolist()
        tau = self.config.unlabelled.threshold
        if self.config.algorithm == "fixmatch":
            return targets, [float(top >= tau) for top in tops]
        if self.config.algorithm == "softmatch":
            return targets, self.softmatch(p)
        weights = [float(top >= tau * self.beta[c] / (2 - self.beta[c])) for top, c in zip(tops, targets, strict=True)]
        for sample, top, c in zip(who, tops, targets, strict=True):
            if top >= tau:
                self.selected[sample] = c
        counts = Counter(self.selected.values())
        most = max([self.num_unlabelled - len(self.selected), *counts.values()])
        if self.selected:
            self.beta = [counts[c] / most for c in range(CLASSES)]
        return targets, weights

    def softmatch(self, p: np.ndarray) -> list[float]:
        m = self.config.softmatch.momentum
        self.p_model = p.mean(0) if self.p_model is None else m * self.p_model + (1 - m) * p.mean(0)
        q = p * (1 / CLASSES + 1e-6) / (self.p_model + 1e-6)
        tops = (q / q.sum(1, keepdims=True)).max(1)
        self.mean = m * self.mean + (1 - m) * tops.mean()
        self.variance = m * self.variance + (1 - m) * tops.var(ddof=1)
        return [math.exp(-(min(t - self.mean, 0) ** 2) / (2 * self.variance / 4)) for t in tops]

    def track(self, inputs: Inputs, z_l: np.ndarray, z_u: np.ndarray, who: list[int]) -> None:
        for sample, label, z in zip(inputs.labelled.index.tolist(), inputs.labelled.labels.tolist(), z_l, strict=True):
            self.margins[sample].append(z[label] - max(v for c, v in enumerate(z) if c != label))
        for sample, z in zip(who, z_u, strict=True):
            a = 0.997 / (1 + self.visits[sample])
            margins = np.array([z[c] - max(v for d, v in enumerate(z) if d != c) for c in range(CLASSES)])
            self.apm[sample] = self.apm[sample] * (1 - a) + margins * a
            self.visits[sample] += 1

    def mix(self, inputs: Inputs, f_l: np.ndarray, f_u: np.ndarray, targets: list[int], who: list[int]) -> Any:
        part, seed, normalise = inputs.labelled, self.config.seed, self.normalise
        aum = [float(np.mean(self.margins[s])) for s in part.index.tolist()]
        apm = [self.apm[s][c] for s, c in zip(who, targets, strict=True)]
        alone = self.config.algorithm == "supervised"
        others, theirs = (f_l, aum) if alone else (f_u, apm)
        pick = uniforms(seed, PARTNER, part.visit, part.index)
        images, distributions = [], []
        for i in range(len(aum)):
            hard = sorted(range(len(aum)), key=lambda j: (aum[j], j)).index(i) < len(aum) // 2
            order = sorted(range(len(theirs)), key=lambda j: (theirs[j], j))
            candidates = order[len(order) // 2 :] if hard else order[: len(order) // 2]
            k = max(1, round(self.config.mixing.k_percent / 100 * len(candidates)))
            near = sorted(candidates, key=lambda j: _cosine(f_l[i], others[j]))[:k]
            j = near[int(pick[i] * k)]
            share = _beta_quantile(uniforms(seed, LAMBDA, [inputs.step], [int(hard)])[0], 0.4)
            pool = part.weak if alone else inputs.unlabelled.weak
            one, other = normalise(part.weak[i : i + 1]), normalise(pool[j : j + 1])
            images.append(share * one + (1 - share) * other)
            target = np.zeros(CLASSES)
            target[inputs.labelled.labels[i]] += share
            target[inputs.labelled.labels[j] if alone else targets[j]] += 1 - share
            distributions.append(target)
        return torch.cat(images), torch.from_numpy(np.stack(distributions))

    def update(self, logits: torch.Tensor, inputs: Inputs, targets: list[int], weights: list[float], mixed: Any) -> Any:
        eps, num, end = (
            self.config.label_smoothing,
            len(inputs.labelled.labels),
            len(inputs.labelled.labels) + len(targets),
        )
        p = logits.log_softmax(1)

        def smoothed(label: int) -> torch.Tensor:
            return F.one_hot(torch.tensor(label), CLASSES).double() * (1 - eps) + eps / CLASSES

        labelled = sum(-(smoothed(c) * p[i]).sum() for i, c in enumerate(inputs.labelled.labels.tolist())) / num
        unlabelled = mix = torch.zeros((), dtype=torch.float64)
        if targets:
            rows = zip(targets, weights, strict=True)
            unlabelled = sum(-(smoothed(c) * p[num + i]).sum() * w for i, (c, w) in enumerate(rows)) / len(targets)
        if mixed:
            mix = sum(-((t * (1 - eps) + eps / CLASSES) * p[end + i]).sum() for i, t in enumerate(mixed[1])) / num
        total = labelled + unlabelled + mix
        self.descend(total, inputs.step)
        names = ("loss", "loss_labelled", "loss_unlabelled", "loss_mix")
        terms = {n: v.item() for n, v in zip(names, (total, labelled, unlabelled, mix), strict=True)}
        return terms | {"mask_rate": float(np.mean(weights)) if weights else 0.0}

    def descend(self, loss: torch.Tensor, step: int) -> None:
        """Nesterov SGD, weight decay on matrices and filters, 7/16 cosine, moving average."""
        rate = self.config.optimizer.lr * math.cos(math.pi * 7 / 16 * step / STEPS)
        named = {n: p for n, p in self.model.named_parameters() if p.requires_grad}
        gradients = torch.autograd.grad(loss, list(named.values()))
        with torch.no_grad():
            for (name, p), g in zip(named.items(), gradients, strict=True):
                if p.ndim > 1:
                    g = g + self.config.optimizer.weight_decay * p
                self.velocity[name] = 0.9 * self.velocity[name] + g
                p -= rate * (g + 0.9 * self.velocity[name])
            decay = self.config.ema.decay
            for mean, p in zip(self.average.parameters(), self.model.parameters(), strict=True):
                mean.copy_(decay * mean + (1 - decay) * p)
            for mean, buffer in zip(self.average.buffers(), self.model.buffers(), strict=True):
                mean.copy_(buffer)


def _cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / math.sqrt(a @ a) / math.sqrt(b @ b))


def _beta_quantile(share: float, alpha: float) -> float:
    return float(beta.ppf(share, alpha, alpha))


def ten_steps(ranks: Ranks, given: Config) -> tuple[TrainingRun, Reference, list[dict[str, float]]]:
    dataset = open_dataset(given)
    fresh = TrainingRun(given, dataset, ranks, 1)
    reference = Reference(fresh)
    terms = [reference.step(inputs) for inputs in fresh.inputs()]
    return loop.train(given, dataset, ranks, RunFolder(given)), reference, terms


METHODS = [("fixmatch", "calibratemix", 0.0), ("softmatch", "calibratemix", 0.1), ("supervised", "none", 0.1)]
MORE = [
    ("fixmatch", "none", 0.0), ("flexmatch", "none", 0.1), ("flexmatch", "calibratemix", 0.0),
    ("softmatch", "none", 0.0), ("supervised", "calibratemix", 0.0),
]  # fmt: skip


@pytest.mark.parametrize(
    ("algorithm", "mix", "smoothing"), [*METHODS, *(pytest.param(*more, marks=pytest.mark.slow) for more in MORE)]
)
def test_ten_steps_equal_the_formulas(algorithm: str, mix: str, smoothing: float, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    run, reference, terms = alone(
        ten_steps, settings(data, out, f"algorithm={algorithm}", f"mix={mix}", f"label_smoothing={smoothing}")
    )
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    lines = [line for line in lines if "loss" in line]
    for line, expected in zip(lines, terms, strict=True):
        assert {name: line[name] for name in expected} == pytest.approx(expected, abs=1e-6), line["step"]
    for ours, theirs in ((run.model, reference.model), (run.ema.module, reference.average)):
        for (name, got), wanted in zip(ours.state_dict().items(), theirs.state_dict().values(), strict=True):
            torch.testing.assert_close(got, wanted, atol=1e-6, rtol=1e-6, msg=lambda m, n=name: f"{n}: {m}")
    _states_agree(run, reference)
    assert any(term["mask_rate"] > 0 for term in terms) or algorithm == "supervised"
    assert all((term["loss_mix"] > 0) == (mix != "none" and i >= WARMUP) for i, term in enumerate(terms))


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
    if run.config.mix != "calibratemix":
        return
    difficulty: Any = run.mix.difficulty  # type: ignore[attr-defined]
    for sample, margins in reference.margins.items():
        row = torch.from_numpy(run.sources["labelled"].order.rows_of(np.array([sample])))
        assert float(difficulty.aum.values(row)) == pytest.approx(np.mean(margins), abs=1e-6)
    for sample, expected in reference.apm.items():
        row = int(run.shards.row_of(np.array([sample]), 0, 1)[0])
        np.testing.assert_allclose(difficulty.apm.table[row], expected, atol=1e-6)
        assert difficulty.apm.visits[row] == reference.visits[sample]
