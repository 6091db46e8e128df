"""One whole training step, slowly: dictionaries by sample, loops over rows, weights updated by the textbook.

Written from the formulas; only the network and the images are shared with the code under test.
"""

import copy
import math
from collections import Counter, defaultdict
from typing import Any

import numpy as np
import torch
from scipy.stats import beta

from pipeline.randomness import LAMBDA, PARTNER, uniforms
from pipeline.training.step import Inputs
from pipeline.training.training_run import TrainingRun

CLASSES = 10
TERMS = ("loss", "loss_labelled", "loss_unlabelled", "loss_mix")


class Reference:
    """One rank: every algorithm, mix and recipe."""

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
        self.weak, self.strong = inputs.labelled.weak, inputs.unlabelled.strong
        views = [self.weak, inputs.unlabelled.weak, self.strong]
        first = self.forward(views)
        observed = [(z.detach().numpy(), f.detach().numpy()) for z, f in first[:2]]
        who = inputs.unlabelled.index.tolist()
        targets, weights = self.label(observed[1][0], who)
        self.track(inputs, observed[0][0], observed[1][0], who)
        mixed = None
        if self.config.mix != "none" and inputs.step >= self.config.warmup:
            mixed = self.mixed(inputs, self.pairs(inputs, observed, targets, who), targets)
        total, terms = self.objective(inputs, [z for z, _ in first], targets, weights, mixed)
        self.descend(total, inputs.step)
        terms = {n: v.item() for n, v in zip(TERMS, (total, *terms), strict=True)}
        return terms | {"mask_rate": float(np.mean(weights)) if weights else 0.0}

    def forward(self, views: list[torch.Tensor]) -> list[Any]:
        """(logits, features) of each view, uint8 or normalised, of one batch."""
        batch = torch.cat([self.normalise(v) if v.dtype == torch.uint8 else v for v in views])
        sizes = [len(v) for v in views]
        return list(zip(*(x.split(sizes) for x in self.model(batch)), strict=True))

    def objective(self, inputs: Inputs, first: list[Any], targets: list[int], weights: list[float], mixed: Any) -> Any:
        """(loss, [labelled, unlabelled, mix]); the terms of a second base loss are not told."""
        options, nothing = self.config.mixing, torch.zeros((), dtype=torch.float64)
        if self.config.forward == "observe":
            first = [z for z, _ in self.forward([self.weak, inputs.unlabelled.weak[:0], self.strong])]
        base, mix, again = self.base(inputs, first[0], first[2], targets, weights), nothing, ()
        if mixed and options.second_pass == "alone":
            mix = self.mix_loss(self.forward([mixed[0]])[0][0], mixed[1])
        elif mixed:
            views = [mixed[0], self.weak, inputs.unlabelled.weak, self.strong]
            logits = [z for z, _ in self.forward(views)]
            mix = self.mix_loss(logits[0], mixed[1])
            if options.double_base:
                second = self.label(logits[2].detach().numpy(), inputs.unlabelled.index.tolist())
                again = self.base(inputs, logits[1], logits[3], *second)
        return sum(base) + mix * options.weight + sum(again), (*base, mix)

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
        if inputs.step < self.config.warmup and not self.config.mixing.apm_in_warmup:
            return
        for sample, z in zip(who, z_u, strict=True):
            a = 0.997 / (1 + self.visits[sample])
            margins = np.array([z[c] - max(v for d, v in enumerate(z) if d != c) for c in range(CLASSES)])
            self.apm[sample] = self.apm[sample] * (1 - a) + margins * a
            self.visits[sample] += 1

    def pairs(self, inputs: Inputs, observed: list[Any], targets: list[int], who: list[int]) -> list[Any]:
        """(position, position, lambda) of each mixed image; positions count [labelled, unlabelled]."""
        (_, f_l), (_, f_u) = observed
        seed, step, part = self.config.seed, inputs.step, inputs.labelled
        total = len(f_l) + len(f_u)
        if self.config.mix == "random":
            draws = [uniforms(seed, PARTNER, [step] * len(f_l), range(len(f_l)), view=1, counter=c) for c in (0, 1)]
            share = _beta_quantile(uniforms(seed, LAMBDA, [step], [0], view=1)[0], 0.4)
            first = [int(u * total) for u in draws[0]]
            return [(i, (i + 1 + int(u * (total - 1))) % total, share) for i, u in zip(first, draws[1], strict=True)]
        aum = [float(np.mean(self.margins[s])) for s in part.index.tolist()]
        apm = [self.apm[s][c] for s, c in zip(who, targets, strict=True)]
        if self.config.mix == "all":
            return self.pairs_of_sets(_halves(aum, 0) | _halves(apm, len(aum)), step)
        alone = self.config.algorithm == "supervised"
        theirs, offset = (aum, 0) if alone else (apm, len(aum))
        if self.config.mixing.similarity == "pixel":
            f_l, f_u = (self.normalise(x).flatten(1).numpy() for x in (part.weak, inputs.unlabelled.weak))
        others = f_l if alone else f_u
        pick, halves, ours = uniforms(seed, PARTNER, part.visit, part.index), _halves(theirs, 0), _halves(aum, 0)
        found = []
        for i in range(len(aum)):
            hard = i in ours["LH"]
            candidates = halves["LE" if hard else "LH"]
            near = sorted(candidates, key=lambda j: _cosine(f_l[i], others[j]))[: self.candidates(len(candidates))]
            share = _beta_quantile(uniforms(seed, LAMBDA, [step], [int(hard)])[0], 0.4)
            found.append((i, near[int(pick[i] * len(near))] + offset, share))
        return found

    def pairs_of_sets(self, sets: dict[str, list[int]], step: int) -> list[Any]:
        """Mixup all: each member of a kind's first set, hardest first, with a random one of its second set."""
        found: list[Any] = []
        for number, kind in enumerate(self.config.mixing.all_pairs.split()):
            ours, theirs = (sets[name] for name in kind.split("+"))
            share = _beta_quantile(uniforms(self.config.seed, LAMBDA, [step], [number], view=1)[0], 0.4)
            for i in ours:
                draw = uniforms(self.config.seed, PARTNER, [step], [len(found)], view=1)[0]
                found.append((i, theirs[int(draw * len(theirs))], share))
        return found

    def candidates(self, available: int) -> int:
        options = self.config.mixing
        wanted = options.k_count or max(1, round(options.k_percent / 100 * available))
        return min(wanted, available)

    def mixed(self, inputs: Inputs, pairs: list[Any], targets: list[int]) -> Any:
        images = self.normalise(torch.cat([inputs.labelled.weak, inputs.unlabelled.weak]))
        labels = [*inputs.labelled.labels.tolist(), *targets]
        distributions = np.zeros((len(pairs), CLASSES))
        for row, (i, j, share) in zip(distributions, pairs, strict=True):
            row[labels[i]] += share
            row[labels[j]] += 1 - share
        return torch.stack([lam * images[i] + (1 - lam) * images[j] for i, j, lam in pairs]), distributions

    def smoothed(self, target: np.ndarray) -> torch.Tensor:
        eps = self.config.label_smoothing
        return torch.from_numpy(np.asarray(target) * (1 - eps) + eps / CLASSES)

    def base(self, inputs: Inputs, z_l: Any, z_s: Any, targets: list[int], weights: list[float]) -> tuple[Any, Any]:
        eye, p_l, p_s = np.eye(CLASSES), z_l.log_softmax(1), z_s.log_softmax(1)
        labels = inputs.labelled.labels.tolist()
        labelled = sum(-(self.smoothed(eye[c]) * p).sum() for c, p in zip(labels, p_l, strict=True)) / len(labels)
        if not targets:
            return labelled, torch.zeros((), dtype=torch.float64)
        rows = zip(targets, weights, p_s, strict=True)
        return labelled, sum(-(self.smoothed(eye[c]) * p).sum() * w for c, w, p in rows) / len(targets)

    def mix_loss(self, logits: Any, distributions: np.ndarray) -> Any:
        """Cross-entropy, or logistic regressions averaged over classes; the mean over mixed images."""
        total: Any = 0
        for z, target in zip(logits, map(self.smoothed, distributions), strict=True):
            if self.config.mixing.loss == "ce":
                total = total - (target * z.log_softmax(0)).sum()
            else:
                yes, no = torch.log(1 / (1 + torch.exp(-z))), torch.log(1 / (1 + torch.exp(z)))
                total = total - (target * yes + (1 - target) * no).mean()
        return total / len(distributions)

    def descend(self, loss: torch.Tensor, step: int) -> None:
        """Nesterov SGD, weight decay on matrices and filters, 7/16 cosine, moving average."""
        rate = self.config.optimizer.lr * math.cos(math.pi * 7 / 16 * step / self.config.steps)
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


def _halves(margins: list[float], offset: int) -> dict[str, list[int]]:
    """Hard: the lower half of the margins, lowest first. Positions from ``offset`` on, which tells U from L."""
    order = sorted(range(len(margins)), key=lambda j: (margins[j], j))
    name, half = "U" if offset else "L", len(order) // 2
    return {f"{name}H": [j + offset for j in order[:half]], f"{name}E": [j + offset for j in order[half:]]}


def _cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / math.sqrt(a @ a) / math.sqrt(b @ b))


def _beta_quantile(share: float, alpha: float) -> float:
    return float(beta.ppf(share, alpha, alpha))
