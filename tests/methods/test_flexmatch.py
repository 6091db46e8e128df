"""FlexMatch: worked thresholds, a slow reference over many steps, and ranks that agree."""

from collections import Counter

import pytest
import torch

from pipeline.distributed import Ranks
from pipeline.methods.algorithms.flexmatch import FlexMatch
from tests.support.problems import context
from tests.support.ranks import alone, on_ranks

ROWS, CLASSES, BATCH = 20, 3, 12


def flexmatch(rows: int, *sets: str) -> FlexMatch:
    return FlexMatch(context(*sets, rows=rows))


@pytest.mark.parametrize(
    ("warmup", "beta", "thresholds"),
    [("true", [0.5, 1 / 6, 0], [0.316667, 0.0863636, 0]), ("false", [1, 1 / 3, 0], [0.95, 0.19, 0])],
)
def test_worked_thresholds(warmup: str, beta: list[float], thresholds: list[float]) -> None:
    """FACTS section 1: ten samples, six unused, three of class 0, one of class 1."""

    def learnt(ranks: Ranks) -> torch.Tensor:
        algorithm = flexmatch(10, f"unlabelled.threshold_warmup={warmup}")
        algorithm._select(torch.arange(4), torch.tensor([0, 0, 1, 0]), torch.ones(4, dtype=torch.bool))
        return algorithm.learnt()

    got = alone(learnt)
    assert got.tolist() == pytest.approx(beta)
    assert (0.95 * got / (2 - got)).tolist() == pytest.approx(thresholds, abs=1e-6)


@pytest.mark.parametrize("warmup", ["true", "false"])
def test_at_the_start_every_sample_passes(warmup: str) -> None:
    def weights(ranks: Ranks) -> list[float]:
        algorithm = flexmatch(5, f"unlabelled.threshold_warmup={warmup}")
        return algorithm.pseudo_label(torch.zeros(5, CLASSES, dtype=torch.float64), torch.arange(5)).weight.tolist()

    assert alone(weights) == [1.0] * 5


def batches() -> list[tuple[torch.Tensor, torch.Tensor]]:
    """(rows, logits) of ten global batches, rows with repeats within a rank's half."""
    random = torch.Generator().manual_seed(3)
    made = []
    for _ in range(10):
        halves = [torch.randint(0, ROWS // 2, (BATCH // 2,), generator=random) + h * ROWS // 2 for h in (0, 1)]
        made.append((torch.cat(halves), 4 * torch.randn(BATCH, CLASSES, dtype=torch.float64, generator=random)))
    return made


def run(ranks: Ranks) -> tuple[list, list]:
    algorithm = flexmatch(ROWS // ranks.world, "unlabelled.threshold=0.8")
    algorithm.counts[-1] = ROWS
    each = BATCH // ranks.world
    mine = slice(ranks.rank * each, (ranks.rank + 1) * each)
    seen = []
    for rows, logits in batches():
        got = algorithm.pseudo_label(logits[mine], rows[mine] - ranks.rank * (ROWS // 2))
        seen.append((got.label.tolist(), got.weight.tolist()))
    return seen, algorithm.counts.tolist()


def reference() -> tuple[list, list]:
    """FACTS section 1, steps (a) to (c), sample by sample."""
    selected = [-1] * ROWS
    beta, seen = [0.0] * CLASSES, []
    for rows, logits in batches():
        confidence, label = logits.softmax(1).max(1)
        picks = list(zip(rows.tolist(), confidence.tolist(), label.tolist(), strict=True))
        seen.append((label.tolist(), [float(p >= 0.8 * beta[c] / (2 - beta[c])) for _, p, c in picks]))
        for row, p, c in picks:
            if p >= 0.8:
                selected[row] = c
        counts = Counter(selected)
        if max(counts.values()) < ROWS:
            beta = [counts[c] / max(counts.values()) for c in range(CLASSES)]
    return seen, [Counter(selected)[c] for c in (*range(CLASSES), -1)]


def test_ten_steps_equal_the_reference() -> None:
    assert alone(run) == reference()


@pytest.mark.xdist_group("ranks")
def test_two_ranks_share_their_counts() -> None:
    seen, counts = reference()
    (zero, counts0), (one, counts1) = on_ranks(2, run)
    assert counts0 == counts1 == counts
    joined = [tuple(a + b for a, b in zip(x, y, strict=True)) for x, y in zip(zero, one, strict=True)]
    assert joined == seen
